# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Personal memo: somebody speaks to themselves: tasks, ideas, things to buy and to remember."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import COST, FAULT, SELF_TASK, THIRD
from training.synth.text.script import PointTemplate

_IDEA = PointTemplate(
    "idea",
    say=(
        "(Idea|An idea|Just had an idea)(:|,| for {topic}:) (we could|I could|why not) {win}(, (instead of|not) (what we do now|the plan to {lose})|)(, because {reason}|).",
        "(I've been thinking|Been thinking) about {topic}(, and|.) (I want|I think I should|it's better) to {win}(, not {lose}|).",
    ),
    tell=(
        "The idea is to {win}.",
        "The idea is to {win} because {reason}.",
        "An idea for {topic}: {win}.",
        "{Self} wants to {win}, not {lose}, in {topic}.",
    ),
    brief=("Idea: {win}", "{Topic}: {win}"),
    head=("Idea: {win}",),
    facts=("decision:win!", "what:topic", "reason:reason"),
)
_BUY = PointTemplate(
    "buy",
    say=(
        "(Buy|Get|Pick up|Shopping) (for {topic}|)(:|,) {good}, {good2} and {good3}(, not more than {cash}|)(, {due}|).",
        "(We're|I'm) (out of|running low on) {good}( and {good2}|)(, get (some|more) {due}|).",
    ),
    tell=(
        "{Self} needs to buy {good}, {good2} and {good3}.",
        "{Self} needs to buy {good}, {good2} and {good3} {due}.",
        "{Self} needs to buy {good}, {good2} and {good3} for at most {cash}.",
        "{Self} needs to get {good}.",
        "{Self} needs to get {good} and {good2}.",
        "{Self} needs to get {good} and {good2} {due}.",
    ),
    brief=("Buy {good}, {good2}, {good3}", "Buy {good} {due}", "Buy {good}"),
    head=("Shopping: {good}, {good2} and {good3}",),
    facts=("what:good!", "what:good2!", "what:good3!", "when:due", "amount:cash"),
    weight=1.0,
)
_REMEMBER = PointTemplate(
    "remember",
    say=(
        "{First}('s| has a) (birthday|graduation|recital|flight) (is|it's|on) {when2}(, (get|find) (a present|something nice)|).".replace(
            "('s| has a) (birthday|graduation|recital|flight) (is|it's|on)",
            "'s (birthday|graduation|recital|flight) is",
        ),
        "(Appointment|I have an appointment) (with|at) {dr} {when}(, bring {thing}|).",
        "(The|My) (new |)(code|locker|parking space|reference) (is|number is) {code}(, (don't|do not) (lose|forget) it|).",
        "I (lent|gave) {first} {cash} {past}(, (ask|get it back) {when}|).",
    ),
    tell=(
        "{First} has an event {when2}.",
        "There is an appointment with {dr} {when}.",
        "There is an appointment with {dr} {when}; {thing} is needed.",
        "The code is {code}.",
        "{Self} gave {first} {cash} {past}.",
        "{Self} gave {first} {cash} and should ask for it {when}.",
    ),
    brief=("{First}: {when2}", "{Dr} {when}", "Code: {code}", "{Cash} lent to {first}"),
    facts=("who:first!", "when:when2!", "who:dr!", "when:when!", "amount:code!", "amount:cash!"),
    weight=1.3,
)
_TRIP = PointTemplate(
    "trip",
    say=(
        "(Leave|I leave|We leave) (for {place} |){when}(, back (on |){day}|)(, (the train|the flight|the bus) is at {time}|).",
        "(The hotel|The room|The flat) in {place} (costs|is) {cash} (a|per) night(, {few} nights|)(, cancel (before|by) {day}|).",
    ),
    tell=(
        "{Self} leaves for {place} {when}.",
        "{Self} leaves {when}.",
        "The trip starts {when}, with departure at {time}.",
        "The room in {place} is {cash} a night.",
        "The room in {place} is {cash} a night for {few} nights.",
    ),
    brief=("Leave for {place} {when}", "Leave {when}", "{Place}: {cash} a night"),
    facts=("where:place!", "when:when!", "amount:cash!", "amount:few", "when:time"),
    weight=0.8,
)
REGISTER = Register(
    "memo", 1.5, (18, 65, 220), (1, 1), scene=("topic",),
    openings=("(Memo|Note|Reminder) to (myself|self)(, {topic}|).", "(Okay|So|Right), (things|stuff) (for|to do) (today|this week|tomorrow)(.|, mainly {topic}.)", "(Before I forget|Quick note|Just thinking out loud)(, about {topic}|).", "(Voice note|Recording this)(,| in the car,) (while I remember|on my way home).", "(Um|Well), {topic}.", "(List|To-do list|Plan) for (the week|the weekend|tomorrow)."),
    closings=("(That's it|That's all|Okay, done).", "(Don't|Do not) forget(, really|).", "(Anything else|What else)? (No|Nope|Can't think of anything).", "(Good|Right), (off I go|that's everything)."), point_templates=(SELF_TASK, _IDEA, _BUY, _REMEMBER, _TRIP, COST, THIRD, FAULT), lead_templates=(SELF_TASK, _BUY, _REMEMBER, _IDEA, _TRIP),
    links=("(And|Also|Then).", "(Next|What else)."), gists=("A memo about {topic}.", "The speaker notes things about {topic}.", "A personal note."), headlines=("Memo on {topic}",), topics=("{topic}", "Personal memo"), fillers=0.12, chat=0.25, asides=("(I keep|I always) (forgetting|putting off) (that|this).", "(Where|Where on earth) (did I put|is) {thing}(, anyway|)?", "(Hm|Let me think|Wait)(, no|).", "(Maybe|Perhaps) (later|tomorrow|not)(, we'll see|).", "{@opinion}"),
)  # fmt: skip
