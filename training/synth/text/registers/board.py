# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Board meeting: figures of a period, outlook, approvals, votes, owners."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import ACTION, COST, DECISION, DELAY, MEET, OPEN, STAFF, UPDATES
from training.synth.text.script import PointTemplate

_RESULT = PointTemplate("result", at_most_once=True, say=("(Revenue|Income|Turnover) (for the period|for {period}|) (was|came in at|reached) {big}(, (up|that's up) {pct} (on|against) (last year|the plan)|)(. Costs were {big2}.|.)", "{Period}, (we|the company) (made|earned) {big} (in revenue|), (against a|with a) (plan|budget) of {big2}(, (so|that's) {pct} (above|over)|).", "(Finance|The numbers)(:|,) {big} (in sales|turnover|income), {money} (in|of) (one-off|unplanned) costs(, mostly because {reason}|).", "(Our|The) (debt|loan|overdraft) (is|stands at|is now) {big3}(, from {big4} (a year ago|in {month})|)."),
                 tell=("Revenue reached {big}.", "Revenue was {big}, up {pct}.", "Revenue was {big} against a plan of {big2}.", "Income was {big} with {money} of one-off costs.", "Borrowing stands at {big3}.", "Borrowing stands at {big3}, compared with {big4} earlier."), brief=("Revenue {big}, up {pct}", "Revenue {big}", "Revenue {big} against {big2}", "Borrowing: {big3}"), head=("Revenue at {big}",), facts=("amount:big!", "amount:big3!", "amount:pct", "amount:big2", "amount:money"), weight=1.0)  # fmt: skip
_VOTE = PointTemplate("vote", is_decision=True, say=("(We (come|turn) to the vote on {topic}|The motion is to {win}).?// (In favour|All in favour|Those for)?// {Few}.// (Against|Those against)?// {Few2}.// (Then|So) (the motion is carried|it passes|it's approved)( and we will {win}|).".replace("(We (come|turn) to the vote on {topic}|The motion is to {win}).?", "The motion is to {win}."), "{Who} (moved|proposed) (to|that we) {win}(, {who2} seconded|). (The vote was|It passed) {few} to {few2}(, with one abstention|).", "The board (approved|agreed to|signed off) {money} for {topic}(, on condition that we {act} {due}|, (with|by) {few} votes to {few2}|)."),
               tell=("The board voted {few} to {few2} to {win}.", "{Who} moved to {win}, which passed {few} to {few2}.", "The board approved {money} for {topic}.", "The board approved {money} for {topic} by {few} to {few2}.", "The board approved {money} for {topic}, provided they {act} {due}."), brief=("Vote {few} to {few2}: {win}", "{Money} approved for {topic}"), head=("Board votes to {win}", "Board approves {money} for {topic}"), facts=("decision:win!", "amount:few+few2", "amount:money!", "what:topic!", "who:who"), weight=1.6)  # fmt: skip
_OUTLOOK = PointTemplate(
    "outlook",
    say=(
        "(For|In) (the (next|coming) (year|quarter)|{month}) (we|I) (expect|forecast|plan with) {big}(, (assuming|provided) {metric} (grows|rises) (by |){pct}|).",
        "{Who}, (your|the) (forecast|outlook)?// (We|I) (expect|see) {big} (by|until) (the end of |){month}(, (cautiously|conservatively)|).// (Earlier|Last time) (it was|you said) {big2}.// (Yes|Right), {reason}.",
        "(The|Our) (biggest|main) risk is that {fault} again(, (that would cost|which means) (about |){big3}|).",
    ),
    tell=(
        "The outlook is {big}.",
        "The outlook is {big}, assuming {metric} grows by {pct}.",
        "{Who} expects {big} by {month}, changed from {big2} because {reason}.",
        "The main risk is that {fault} again.",
        "The main risk is that {fault} again, costing {big3}.",
    ),
    brief=("Outlook: {big}", "Risk: {fault}"),
    facts=("amount:big!", "problem:fault!", "who:who", "when:month"),
    weight=1.0,
)
REGISTER = Register(
    "board", 1.2, (110, 280, 1100), (2, 4), scene=("org", "topic", "period"),
    domains=("software", "hospital", "school", "farm", "retail", "construction", "restaurant", "theatre", "sports", "logistics", "factory", "council", "travel", "energy", "research", "banking", "housing", "charity", "insurance", "music", "police", "media", "marine", "fitness", "dental", "publishing"),
    openings=("(I (call|hereby call)|Let me call) (the meeting|this meeting|the board) to order(, it's {time}|)(. (First|We start with) {topic}.|.)", "(Good morning|Good afternoon)(, (board|everyone|members)|)(, welcome to the (board|quarterly) meeting of {org}|). {Self} (in the chair|chairing).", "(Do we have|Have we got) a quorum?// (Yes|We do).// (Good|Then). (The agenda|Today)(:|,) (the figures|results) and {topic}.", "(Thank you all for coming|Thanks for making it). (This|It) is the board of {org}(, and {topic} is on the table|).", "(Apologies|Regrets) (from|received from) {first9}. (The minutes of the last meeting|Last time's minutes)(:|,) (any comments|all agreed)?// (None|No|Agreed).// (Good|Then) {topic}.", "(So|Right|All right), (the) (board of {org}|{org} board)(, {self} here|). (Figures first|Finance first)."),
    closings=("(No further|Any other) business?// (None|No).// (The meeting is closed|I close the meeting)(. Thank you|).", "(Thank you|Thanks)(, everyone|). (That concludes|This closes) the (meeting|session).", "(Adjourned|We adjourn)(. Good evening|)."), point_templates=(_RESULT, _VOTE, _OUTLOOK, *UPDATES, ACTION, DECISION, COST, DELAY, MEET, OPEN, STAFF), lead_templates=(_RESULT, _VOTE, UPDATES[0]),
    links=("(Next item|The next item|Item {few}).", "(Moving on|We move on)(, please|)."), gists=("The board of {org} met about {topic}.", "The board of {org} met.", "The board discussed {topic}.", "A board meeting on {topic}."), headlines=("Board of {org} meets",), topics=("Board meeting of {org}", "{topic}"), gist_facts=("who:org",), fillers=0.04, chat=0.3, asides=("(Questions|Any questions|Comments)( on that|)?// (No|Not from me|Clear, thank you).", "{@discuss}", "{@opinion}", "(It's|This is) (in|on page {few} of) (your|the) (papers|pack).".replace("(in|on page {few} of)", "in")),
)  # fmt: skip
