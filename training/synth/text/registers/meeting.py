# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Project meeting: two to five people, several topics, digressions, corrections, things rejected on the way to a decision."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import (
    ACTION,
    CHANGE,
    COST,
    DECISION,
    DELAY,
    DONE,
    FAULT,
    MEET,
    OPEN,
    STAFF,
    SUPPLY,
    THIRD,
    UPDATES,
)
from training.synth.text.script import PointTemplate

_PROPOSAL = PointTemplate(
    "proposal", is_decision=True,
    say=(
        "{Who}, (what|where) did you (find|come out|land) on {thing}?// (So|Well), I (looked at|got) two (offers|quotes)(:|,) {supplier} at {money} and {supplier2} at {money2}. (I'd go|I'd suggest we go|I recommend we go) with {supplier}.// (Any objections|Everyone okay with that)?// (No|Fine with me|Sounds good).// (Okay|Good), then (it's|we go with) {supplier}.",
        "(We have|There are|I've got) two (bids|offers) for {thing}, {supplier2} (wants|asks) {money2}, {supplier} {money}.// (I prefer|I like) {supplier}(, {reason}|).// (Me too|Agreed|Yes). (So|Then) {supplier} (gets it|gets the job|it is).",
        "(For|On) {thing} I'd (thought of|pencilled in) {supplier2}(, for {money2}|), but (after the last time|honestly|after talking to {who}) (I'd rather|let's) (take|use) {supplier}, (they|who) (charge|ask|want) {money}.// (Okay|Agreed), {supplier} (then|it is).",
    ),
    tell=("{Supplier} was chosen for {thing} at {money}, over {supplier2}.", "It was decided to go with {supplier} for {thing} at {money}.", "{Thing} goes to {supplier} for {money}, rather than {supplier2}."), brief=("{Supplier} chosen for {thing} at {money}", "{Thing}: {supplier}, {money}"), head=("{Supplier} chosen for {thing}",),
    facts=("decision:supplier+thing!", "amount:money!", "who:supplier2"), weight=0.8,
)  # fmt: skip
_DATE = PointTemplate(
    "date_set", is_decision=True,
    say=(
        "When (do we|should we|can we) (plan|schedule|do) {thing}?// (I'd say|How about|Maybe) {day2}?// (That's|Too early|No), {reason}.// (Then|Okay, what about|So) {day}?// (Works|Fine|Perfect)(, {day} then|, {day} it is|, let's fix {day}).", "(Can we|Let's) (fix|agree) a date for {thing}. {Who} (suggested|wants) {day2}, (but|though) {reason}.// {Day}, (then|maybe)?// (Yes|Good)(, {day}|, done).",
        "{Thing}(, that's|: that's|) (on|planned for) {day2}(, isn't it|, right)?// No, (we changed that|it's been changed)(, {reason}|), it's {day} now.// (Ah, okay|Oh, right|Good that I asked).",
    ),
    tell=("{Thing} was set for {day}.", "{Thing} is now planned for {day}, not {day2}, because {reason}.", "The date for {thing} is {day}.", "They agreed on {day} for {thing}, since {reason}."), brief=("{Thing}: {day}", "{Thing} set for {day}"), head=("{Thing} set for {day}",), facts=("decision:thing+day!", "reason:reason"), weight=1.2,
)  # fmt: skip
_BUDGET = PointTemplate(
    "budget", is_decision=True,
    say=("(We have|There's) {big} (left|in the pot) for {topic}. {Who} (asked for|wants) {money2}.// (That's a lot|Hm, no)(. Could|, could) we (live with|do) {money}?// (Yes|Okay), {money} (is fine|would do|works).// (Approved|Then that's approved), {money}.", "{Who} (asked for|needs|put in for) {money} (for|towards) {thing}.// (Is that|And is it) in the budget?// (Yes|It is|Just about).// (Okay|Then), (it's|that's) approved."),
    tell=("{Money} was approved for {topic}.", "{Money} was approved for {thing}, as {who} had asked.", "{Who} gets {money} for {topic} out of {big}."), brief=("{Money} approved for {topic}", "{Money} approved for {thing}"), head=("{Money} approved for {thing}", "{Money} approved for {topic}"), facts=("amount:money!", "what:topic!", "what:thing!", "amount:big", "who:who"), weight=0.8,
)  # fmt: skip
MATTERS = (_PROPOSAL, _DATE, _BUDGET)

REGISTER = Register(
    "meeting", 3.0, (110, 330, 1500), (2, 5), scene=("topic",),
    domains=("software", "hospital", "school", "farm", "retail", "construction", "restaurant", "theatre", "sports", "logistics", "factory", "council", "travel", "energy", "research", "banking", "housing", "charity", "insurance", "music", "police", "media", "marine", "fitness", "dental", "publishing"),
    openings=(
        "(Okay|All right|Right), (let's|shall we) (start|get started|begin)(, everyone|). (Main topic|First topic|Top of the list) (today|) is {topic}.", "(Hi|Hello|Good morning|Good afternoon) (everyone|all)(, thanks for (coming|making the time)|). (Today|This time) (it's|we want to talk) about {topic}.", "(Is everyone here|Are we complete)?// (I think so|{To} is joining later|Almost).// (Good|Okay), (so|then) let's (talk about|look at|go through) {topic}.",
        "(Thanks for joining|Welcome), I'm {self}, I'll (run|chair) this. We (want|need) to (sort out|talk through) {topic} (today|this time)(, and we have {minutes}|).", "(So|Well), {topic}. (Where do we stand|How far are we)?", "(Let me|I'll) (share|open) the (agenda|list). (First|Number one)(:|,) {topic}(.|, and then a few small things.)", "{To}, (can you hear me|are you with us)?// (Yes|Loud and clear).// (Great|Good). (So|Then) let's (do|start with) {topic}.",
    ),
    closings=("(Okay|Good|Great), (I think that's|that's) (it|everything|all we have)( for today|). (Thanks|Thank you)(, everyone| all|).", "(Anything else|Any other business)?// (No|Not from me|Nothing here).// (Then|Okay), (we're done|let's leave it there|see you next time).", "(I'll|Someone will) send (round the notes|the notes around). (Thanks|Bye)(, everyone|).", "(Right|Okay), (that was productive|that went quickly|we're over time). (Bye|See you|Thanks all)."),
    point_templates=(ACTION, DECISION, *MATTERS, DELAY, COST, FAULT, MEET, CHANGE, STAFF, DONE, OPEN, THIRD, SUPPLY, *UPDATES), lead_templates=(DECISION, DELAY, FAULT, *MATTERS, UPDATES[0], COST),
    links=("(Next|Okay, next) (point|item|topic|one).", "(Moving on|Let's move on|Next).", "(What else|What's next|Anything else (on the list|up)|What else (is there|do we have))?", "(So, on to|On to|Let's take) the (next|other) (one|thing|topic).", "(Good|Okay|Fine), (that's settled|next one|what else).", "(Then|Also), (one more|another) (thing|point)."), gists=("The meeting was about {topic}.", "The group discussed {topic}.", "A meeting about {topic}.", "{Self} led a meeting about {topic}."), headlines=("Meeting on {topic}",), gist_facts=("what:topic!",),
    fillers=0.09, chat=0.35, asides=("{@opinion}", "{@discuss}", "{@discuss}", "{@smalltalk}"),
)  # fmt: skip
