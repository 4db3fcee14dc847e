# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Family and friends plan: who comes when, who brings what, what it costs, what was settled."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import ACTION, COST, DECISION, DELAY, FAULT
from training.synth.text.script import PointTemplate

_BRING = PointTemplate("bring", say=("{Who}, (can|could) you (bring|get|take care of) {good}( and {good2}|)?// (Sure|Okay|Yes)(, (and|but) {who2} (should|can) (bring|get) {good3}|).", "{Who} (brings|is bringing|will get) {good}(, {who2} {good2}|)(, and I (have|got) {good3}|).", "(What do we|Do we) (still|) need?// {Good} (and|,) {good2}.// {Who} (can|will) get (it|those)( {due}|).".replace("(What do we|Do we) (still|) need?", "What do we still need?")), tell=("{Who} will bring {good}.", "{Who} will bring {good} and {good2}.", "{Who} will bring {good}, and {who2} brings {good3}.", "{Who} will bring {good} and {who2} {good2}.", "{Who} will get {good} and {good2} {due}."), brief=("{Who}: {good} and {good2}", "{Who}: {good}"), facts=("action:who+good!", "action:who2+good3", "what:good2"), weight=1.2)  # fmt: skip
_COMING = PointTemplate(
    "coming",
    say=(
        "(When|What time) (does|is) {first} (arrive|coming|get in)?".replace(
            "(does|is) {first} (arrive|coming|get in)", "does {first} arrive"
        )
        + "// {When}(, (by|with the) (train|bus|car)|)(, {who} (picks|can pick|will pick) (them|her|him) up|).",
        "{First} (can't|cannot|won't) (come|make it)(, {reason}|)(, so (we're|we are) {few}|, so (that's|there are) {count} of us|).",
        "(We|You|The kids) (leave|should leave) (at|by) {time}(, it takes {minutes}|)(, {who} drives|).",
        "(Meet|Let's meet) {when} (at|in front of) {room}(, (all|the {few}) of us|).",
    ),
    tell=(
        "{First} arrives {when}.",
        "{First} arrives {when}, and {who} does the pick-up.",
        "{First} cannot come.",
        "{First} cannot come because {reason}.",
        "They leave at {time}.",
        "They leave at {time}; it takes {minutes}.",
        "They leave at {time} and {who} drives.",
        "They meet {when} at {room}.",
    ),
    brief=("{First} arrives {when}", "{First} not coming", "Leave at {time}", "Meet {when}, {room}"),
    head=("{First} arrives {when}", "{First} cannot come"),
    facts=("who:first!", "when:when!", "when:time!", "who:who", "reason:reason", "amount:minutes", "where:room"),
    weight=1.8,
)
_PICKUP = PointTemplate(
    "pickup",
    say=(
        "Who (picks up|collects|takes) {first} (from|after) (practice|school|the party|the dentist) {when}?// (I can't|Not me), {reason}.// (Then|Okay|Right), (I'll|I will|I can)( do it|) (go)?".replace(
            "(I'll|I will|I can)( do it|) (go)?", "{who} does it."
        ),
        "{Who} (takes|will take|drives) {first3} to (practice|the doctor|the station|piano) {when}(, (be|it's) there (by|at) {time}|).",
    ),
    tell=(
        "{Who} will collect {first} {when}.",
        "{Who} takes {first3} {when}.",
        "{Who} takes {first3} {when}, to be there at {time}.",
    ),
    brief=("{Who} collects {first} {when}", "{Who} takes {first3} {when}"),
    facts=("action:who+first!", "action:who+first3!", "when:when!", "when:time"),
    weight=1.0,
)
REGISTER = Register(
    "family", 1.4, (35, 110, 380), (1, 3), scene=("topic",), domains=("family", "family", "travel", "sports", "gardening", "music", "charity"),
    openings=("(Hey|Hi|Hello) (everyone|guys|you two|all), (about|quick one about|so,) {topic}.", "(Okay|So|Right), (can we|let's) (talk about|plan|sort out) {topic}( now|)(, {to}|)?// (Yes|Okay|Go on|Do we have to).", "{To}, (it's|hi, it's) {self}, (about|I'm calling about) {topic}.", "(Mum|Dad|Darling|Kids)(, (are you there|listen)|)? (It's about|We need to plan) {topic}.", "(So|Well), {topic}(. (Who|What) (is|are) (still|) missing|).".replace("(. (Who|What) (is|are) (still|) missing|).", "."), "(Voice message for|Hi) {to}(, and everyone else|)(.|,) {self} here(, {topic}|)."),
    closings=("(Okay|Great), (love you|see you then|can't wait).", "(Bye|See you|Kisses)(, {self}|).", "(Anything else|All clear)?// (Nope|No|All good).", "(Text me|Call me) (if|when) (something changes|you know more)."), point_templates=(_BRING, _COMING, _PICKUP, ACTION, DECISION, COST, DELAY, FAULT), lead_templates=(_COMING, DECISION, _BRING, ACTION), links=("(Also|And|Then).", "(What else|Next)?"),
    gists=("A family plans {topic}.", "{Self} and {to} plan {topic}.", "They make plans for {topic}.", "{Self} calls {to} about {topic}."), headlines=("Plans for {topic}",), gist_facts=("what:topic!",), fillers=0.1, chat=0.35, asides=("{@smalltalk}", "{@opinion}", "(The|Our) (kids|grandparents|neighbours) (are|were) (so excited|asking already|in a good mood).", "(Did you|Have you) (eat|sleep)( well|)?// (Yes|A bit|Kind of).".replace("(Did you|Have you) (eat|sleep)( well|)?", "Did you sleep well?")),
)  # fmt: skip
