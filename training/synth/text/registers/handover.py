# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Hand-over: nursing, plant or shift; patients, machines and what the next shift must do."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import CHANGE, DONE, FAULT, STAFF, SUPPLY
from training.synth.text.script import PointTemplate

_PATIENT = PointTemplate(
    "patient",
    say=("In {bed}(, we have| is|:) {title}, {age}(, in|, admitted|, came in) (with|for) {illness}( {past}|). {Vital}. (Needs|Due|Please give) {drug} at {time}.", "{Title} in {bed}, {age} years old, {illness}(, {span} after surgery|). {Vital}(, and {drug} was given at {time2}|). (Next dose|The next {drug}) (is|at) {time}.", "{Title}, {bed}. {Illness}. {Vital}(, so {dr} (wants|asked for|ordered) {test}|). (Please check again|Recheck|Look in again) at {time3}.", "Then {title} (in|,) {bed}, {age}. (Going home|To be discharged|Discharge) {when}(, after {test}|)(. {Vital}.|.)"),
    tell=("{Title}, {age}, in {bed} has {illness} and is due {drug} at {time}.", "{Title} in {bed} has {illness}; next {drug} at {time}.", "{Title} in {bed} has {illness}; check again at {time3}.", "{Title} in {bed}, with {illness}, needs {test} as ordered by {dr} and a check at {time3}.", "{Title} in {bed} goes home {when}.", "{Title} in {bed} goes home {when} after {test}."),
    brief=("{Title}, {bed}: {illness}, {drug} at {time}", "{Title}, {bed}: {illness}, recheck at {time3}", "{Title}, {bed}: home {when}"), head=("{Title} in {bed}: {illness}", "{Title} goes home {when}"), facts=("who:title!", "where:bed", "problem:illness!", "what:drug!", "when:time!", "when:time3!", "when:when!", "what:test", "who:dr"), weight=3.2, domains=("hospital",),
)  # fmt: skip
_MACHINE = PointTemplate(
    "machine",
    say=("{Thing} (is running|runs|ran) at {pct}( (since|from) {time}|)(, (don't|do not) push it (further|higher)|), {reason}.", "{Thing} (was|has been) (down|off|stopped) (for|) {minutes}( {past}|)(, {reason}|), (it's|now it's) (back|running|up) again( since {time}|).", "(Keep an eye on|Watch) {thing}(:|,) (it read|it was at|it showed) {temp} degrees at {time}(, the limit is {temp2}|)."),
    tell=("{Thing} is running at {pct} because {reason}.", "{Thing} was down for {minutes}.", "{Thing} was down for {minutes} and runs again since {time}.", "{Thing} should be watched; it showed {temp} degrees at {time}.", "{Thing} was down for {minutes} because {reason}."), brief=("{Thing} at {pct}", "{Thing} down for {minutes}", "Watch {thing}: {temp} degrees at {time}"), head=("{Thing} down for {minutes}", "{Thing} at {pct}"), facts=("what:thing!", "amount:pct!", "amount:minutes!", "amount:temp!", "when:time", "reason:reason"), weight=1.4, domains=("factory", "energy", "farm", "restaurant", "logistics"),
)  # fmt: skip
_TODO = PointTemplate(
    "todo",
    say=("(You'll need to|Please|Someone has to|You have to) {act} {due}(, because {reason}|, {reason}|).", "(Still|Left) to do(:|,) {act}(, and|,) {due}(, please|).", "We (didn't get round|did not get|never got) to (it|this)(:|,) (so please|can you) {act} {due}(, {reason}|).", "{Role} (will|is coming to) {act} {due}(, so (be there|let them in|have the key ready)|)."),
    tell=("The next shift has to {act} {due}.", "The next shift should {act} {due} because {reason}.", "Still to do: {act} {due}.", "{Role} will {act} {due}."), brief=("To do: {act} {due}", "{Act} {due}", "{Role} will {act} {due}"), head=("Next shift to {act} {due}",), facts=("action:act!", "when:due!", "reason:reason", "who:role"), act=("next", "act", "due"), weight=2.0,
)  # fmt: skip
REGISTER = Register(
    "handover", 1.7, (40, 130, 480), (1, 2), scene=("next=next", "spot"),
    openings=("(Okay|Right|All right), (hand-over|handover|shift change)(,| for) {spot}(. It was a (quiet|busy|long|mixed) (night|day|shift)|).", "(Morning|Evening|Hi)( {to}|), (here's|this is) the hand-over( for {spot}|)(, {self} speaking|).", "(Hi|Hello) {to}, {self} (here|from the night shift). (Quick|Short) hand-over(, then I'm off|).", "(So|Well), (the shift|the night|the day) (was|has been) (fine|rough|okay|busy)(. I'll go through {spot}|).", "(Before I go|Before you start), {to}, (what you need to know|the list) (for|about) {spot}.", "(Late|Early|Night) shift report(, {spot}|)(, {self}|)."),
    closings=("(That's it|That's all|That's everything)(. Have a good shift|, good luck|. I'm off|).", "(Questions|Anything unclear)?// (No|All clear)(, thanks|)(. Sleep well|).", "(Call me|You can call me) if (it gets bad|anything is unclear)."), point_templates=(_PATIENT, _MACHINE, _TODO, FAULT, SUPPLY, DONE, CHANGE, STAFF), lead_templates=(_PATIENT, _MACHINE, _TODO),
    links=("(Next|Then).", "(Also|Now)."), gists=("{Self} hands over {spot} to {to}.", "A hand-over for {spot}.", "{Self} hands over to {to}.", "A shift hand-over."), headlines=("Hand-over for {spot}",), topics=("Hand-over for {spot}", "Shift hand-over"), fillers=0.07, chat=0.25,
    asides=("(Otherwise|Apart from that) (all fine|nothing special|a normal shift).", "(The family|Everybody|The crew) (was|has been) (lovely|very patient|in a good mood).", "(I wrote|It's all) (it down |)(in|on) the (book|board|log)( as well|).", "(I'm|We're) (exhausted|quite tired), (sorry|so bear with me).", "{@opinion}"),
    domains=("hospital", "factory", "logistics", "energy", "hospital", "restaurant", "hospital", "farm"),
)  # fmt: skip
