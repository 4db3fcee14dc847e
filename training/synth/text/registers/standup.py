# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Stand-up: a few people, each says what is done, what is next, what is in the way."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import ACTION, DELAY, DONE, FAULT, MEET, OPEN, STAFF, THIRD
from training.synth.text.script import PointTemplate

_ROUND = PointTemplate(
    "round",
    say=("{Who}(, do you want to (start|go next)|, you're up|)?// (Yeah|Sure|Okay), (so |)(yesterday I|I) (finished|wrapped up) {thing}, and (today|next|now) I'm going to {act}( {due}|).", "{Who} here. (Yesterday|Last week): {thing}, (that's|it's) (done|finished). (Today|Now) I'll {act}( {due}|).", "(Next is|Then there's|Let's hear) {who}.// (So|Right|Hi), {thing} is (done|out|finished)(.|, took {span}.) (Next up|Today), I (want to|will) {act}( {due}|)."),
    tell=("{Who} finished {thing} and will {act} {due}.", "{Who} finished {thing} and will now {act}.", "{Who} has completed {thing}; next is to {act}."), brief=("{Who}: {thing} done, will {act} {due}", "{Who}: {thing} done, next to {act}"), facts=("who:who!", "what:thing!", "action:who+act!", "when:due"), act=("who", "act", "due"), weight=2.0,
)  # fmt: skip
_BLOCK = PointTemplate(
    "blocked",
    say=("{Who}(, anything blocking you|, any blockers)?// (Yes|Yeah|Unfortunately), I (can't|cannot) {act}( yet|) because {reason}(. {Who2} (can help|will help|offered to look at it).|.)", "{Who} is (stuck|blocked)(:|,) {reason}, so (we|they) can't {act}(, and that's been {span}|).", "(I'm|This is {who}, I'm) (blocked|stuck|waiting) on {thing}, {reason}."),
    tell=("{Who} cannot {act} yet because {reason}.", "{Who} is blocked because {reason} and gets help from {who2}.", "{Who} is waiting for {thing} because {reason}.", "Work on {thing} is blocked because {reason}."), brief=("{Who} blocked: {reason}", "Blocked on {thing}: {reason}"), head=("{Who} blocked because {reason}",), facts=("who:who", "problem:reason!", "who:who2", "what:thing"), weight=1.3,
)  # fmt: skip
REGISTER = Register(
    "standup", 1.6, (40, 130, 420), (2, 5), scene=("topic",),
    domains=("software", "hospital", "school", "farm", "retail", "construction", "restaurant", "theatre", "sports", "logistics", "factory", "council", "travel", "energy", "research", "banking", "housing", "charity", "insurance", "music", "police", "media", "marine", "fitness", "dental", "publishing"),
    openings=("(Morning|Good morning|Hi) (everyone|all|team)(, let's (start|get going|keep it short)|). (Quick round|Stand-up time|Who's first).", "(Okay|Right|All right), (are we all here|everybody in)? (Let's go|Then let's start)(, it's about {topic} mostly|).", "(Quick|Short) (sync|update|check-in) on {topic}(, five minutes|).", "(Let's|Shall we) (do|start) the stand-up. (No|Not) (long stories|slides) (today|please).", "(Hi|Hey) (folks|team), {self} here, (I'll|let me) (run|lead) the round today.", "(Hello|Morning). (Daily round|The usual round), {topic} (first|is the main thing)."),
    closings=("(That's it|Okay, that's everyone|We're done). (Have a good day|Thanks all|See you tomorrow).", "(Great|Good), (thanks|thank you) (everyone|all).", "(Anything else|Anybody else)?// (No|Nope|Nothing from me).// (Good|Then that's it)."), point_templates=(_ROUND, _BLOCK, ACTION, DELAY, DONE, FAULT, MEET, OPEN, STAFF, THIRD), lead_templates=(_ROUND, _ROUND, _BLOCK, ACTION),
    links=("(Next|Okay, next).", "(Who's next|Anyone else)?"), gists=("The team gave a short update on {topic}.", "A stand-up on {topic}."), topics=("{topic}", "Stand-up"), fillers=0.08, chat=0.25, asides=("{@smalltalk}", "{@opinion}", "{@discuss}"),
)  # fmt: skip
