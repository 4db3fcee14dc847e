# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Site-inspection dictation: one inspector walks and dictates findings, measurements, deadlines."""

from training.synth.text.compose import Register
from training.synth.text.script import PointTemplate

_FINDING = PointTemplate("finding", say=("(In|At) {spot}(:|,) {defect} (near|on|next to|behind|above) {thing}(, (about|roughly|around) {size}|)(. (Needs|To be|Must be) (repaired|fixed) {due}.|.)", "{Spot}(.|:) {Thing} (shows|has) {defect}(, {size}|)(. {Severity}.|.)( (Repair|Fix|Replace) {due}.|)", "(Next|Then|Item {few}), {spot}. (I see|There is|Noted) {defect}(, {size},|) (on|at|by) {thing}(. {Role} to (fix|look at) (it|this) {due}.|.)", "{Thing} in {spot}(:|,) {defect}(. Photo {photo}.|, see photo {photo}.|.)"),
                  tell=("In {spot} there is {defect} at {thing}.", "In {spot}, {thing} shows {defect}.", "In {spot}, {defect} of {size} was found at {thing}.", "In {spot}, {defect} at {thing} must be fixed {due}.", "{Role} is to deal with {defect} in {spot} {due}.", "In {spot}, {thing} shows {defect} of {size}, to be fixed {due}."), brief=("{Spot}: {defect} at {thing}", "{Spot}: {defect}, {size}", "{Spot}: {defect}, fix {due}"), head=("Inspection finds {defect} in {spot}", "{Defect} at {thing}"), facts=("problem:defect!", "where:spot!", "what:thing", "amount:size", "when:due!", "who:role"), weight=3.0)  # fmt: skip
_OKAY = PointTemplate(
    "pass",
    say=(
        "{Thing} (is|was|looks) (fine|in order|okay|passed)(, (tested|last checked) {past}|)(, no (defects|remarks)|).",
        "{Thing}(:|,) (no problem|passed|in good order)(, valid until {day}|).",
    ),
    tell=(
        "{Thing} is in order.",
        "{Thing} passed and is valid until {day}.",
        "{Thing} is in order; it was last checked {past}.",
    ),
    brief=("{Thing}: in order", "{Thing}: passed, valid until {day}"),
    facts=("result:thing!", "when:day", "when:past"),
    weight=1.0,
)
_MEASURE = PointTemplate(
    "measure",
    say=(
        "(Humidity|Moisture|The moisture reading) in {spot} is {pct}(, (limit|allowed) is {pct2}|).",
        "(The temperature|Temperature) (in|at) {spot} (is|reads|was) {temp} degrees( at {time}|)(, it should be {temp2}|).",
        "(I measured|Measured) {size} (at|between the wall and|beside) {thing}(, (required|the rule) is {size2}|).",
        "{Count} (bolts|tiles|lamps|panels|labels) (are|were) (missing|loose|broken) (in|at) {spot}.",
    ),
    tell=(
        "The reading in {spot} is {pct}.",
        "The reading in {spot} is {pct}, where {pct2} is allowed.",
        "The temperature in {spot} is {temp} degrees.",
        "{Size} was measured at {thing}.",
        "{Size} was measured at {thing}, where {size2} is required.",
        "In {spot}, {count} parts were missing or broken.",
    ),
    brief=("{Spot}: {pct}", "{Spot}: {temp} degrees", "{Thing}: {size}", "{Spot}: {count} missing or broken"),
    facts=("amount:pct!", "amount:temp!", "amount:size!", "amount:count!", "where:spot", "what:thing"),
    weight=1.4,
)
_FOLLOW = PointTemplate(
    "follow",
    at_most_once=True,
    say=(
        "(Re-inspection|Next visit|Follow-up)(:|,| is) {when}(, with {role}|).",
        "(Estimated|Expected) cost(s|)(:| are|) {money}(, (excluding|without) {thing}|).".replace(
            "cost(s|)(:| are|)", "cost is"
        ),
        "{Person} (from {org} |)(was present|accompanied me|signed the report)(, and (promised|agreed) to {act} {due}|).",
        "(Overall|Result)(:|,) (not passed|passed with conditions), (deadline|everything to be done) {due3}.",
    ),
    tell=(
        "The follow-up visit is {when}.",
        "The follow-up visit is {when} with {role}.",
        "The estimated cost is {money}.",
        "The estimated cost is {money} without {thing}.",
        "{Person} was present.",
        "{Person} agreed to {act} {due}.",
        "{Person} from {org} agreed to {act} {due}.",
        "Everything is to be done {due3}.",
    ),
    brief=("Follow-up {when}", "Estimated cost: {money}", "{Person} to {act} {due}", "Deadline: {due3}"),
    facts=("when:when!", "amount:money!", "who:person!", "action:act", "when:due", "when:due3!", "who:org"),
    act=("person", "act", "due"),
    weight=1.3,
)
REGISTER = Register(
    "inspection", 1.3, (35, 130, 420), (1, 1), scene=("road", "place", "date", "few9=few"),
    openings=("(Inspection|Site inspection|Site visit) (at|of) {road}( in {place}|)(, {date}|)(, inspector {self}|).", "(This is|Dictation,|Here is) {self}, (inspection|report) (for|on) {road}(, {place}|)(, {date}|).", "(Okay|Right), (I'm|I am) (at|on site at) {road}(, {place}|)(, it's {date}|). (Starting|I start) (outside|at the entrance|at the top).", "{Date}, {road}( in {place}|). (Weather|It's) (dry|rainy|cold|fine).", "(Report|Record) of (the |)(visit|walk-through)(,| to) {road}(, {place}|).", "(Walking|Going) (through|round) {road}( in {place}|)(, {self} (speaking|here)|)."),
    closings=("(End of|That's the end of the) (dictation|report|tour).", "(Please|Kindly) (type|send) (this|it) (up|out) (with the photos|to the owner).", "(That's|This is) (it|all)(, {self}|)."), point_templates=(_FINDING, _OKAY, _MEASURE, _FOLLOW), lead_templates=(_FINDING,), links=("(Next room|Moving on|Going on).", "(Upstairs|Outside|Round the corner)."),
    gists=("An inspection of {road} in {place}.", "{Self} inspected {road} on {date}.", "An inspection at {road}.", "{Self} reports on {road} in {place}."), headlines=("Inspection of {road}",), topics=("Inspection of {road}",), gist_facts=("where:road!", "where:place", "when:date"), fillers=0.05, chat=0.2,
    asides=("(Hard|Difficult) to (see|reach)(, bad light|, I'll come closer|).", "(Take|Taking) (a|another) photo (here|of that).", "(Otherwise|The rest) (clean|tidy|unremarkable).", "(Mind|Careful) (the|with the) (step|ladder|cable)(, note to myself|)."), domains=("construction", "housing", "factory", "school", "restaurant", "energy", "council", "marine"),
)  # fmt: skip
