# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Customer feedback: one person says what was good, what was not, and what they want."""

from training.synth.text.compose import Register
from training.synth.text.script import PointTemplate

_GOOD = PointTemplate(
    "praise",
    say=(
        "(What I|I) (liked|loved|enjoyed)( most|)(:|,| was) {thing}(, (it was|really) {quality}|)(, and {first} (was very kind|helped us a lot|at the desk was great)|).",
        "{First}(, who (served|looked after|advised) us,|) was {quality}( and (stayed|worked) {span} (longer|extra) for us|).",
        "(The best|A big plus)(:|,| was) {thing}(, only {minutes} (of waiting|and it was done)|).",
    ),
    tell=(
        "The customer liked {thing}.",
        "The customer praised {thing} as {quality}.",
        "The customer liked {thing} and praised {first}.",
        "{First} was praised as {quality}.",
        "The customer praised {thing}, with only {minutes} of waiting.",
    ),
    brief=("Liked {thing}", "Praise for {first}", "{Thing}: {quality}"),
    head=("Customer praises {thing}", "Praise for {first}"),
    facts=("result:thing!", "who:first", "amount:minutes"),
    weight=1.2,
)
_BAD = PointTemplate(
    "complaint",
    say=(
        "(But|However|Sadly|On the other hand), {fault}( {past}|)(, and nobody (called|apologised|told us)|).",
        "(What I|I) (didn't|did not) like(:|,| was that) {fault}(, and (we waited|I waited|it took) {minutes}|).",
        "(We waited|I waited|It took) {minutes} (for|to get) {thing}(, although (we had booked|they promised {minutes2})|).",
        "{Thing} was {flaw}(, and|, which is (too much|a shame|not okay)) (for|at) {money}(, sorry|).",
    ),
    tell=(
        "The customer complained that {fault}.",
        "The customer waited {minutes} because {fault}.",
        "The customer complained that {fault} {past}.",
        "The customer waited {minutes} for {thing}.",
        "The customer found {thing} {flaw} at {money}.",
    ),
    brief=("Complaint: {fault}", "Waited {minutes} for {thing}", "{Thing}: {flaw} at {money}"),
    head=("Customer complains: {fault}", "Customer waited {minutes} for {thing}", "{Thing} found {flaw}"),
    facts=("problem:fault!", "amount:minutes!", "what:thing!", "problem:flaw", "amount:money", "when:past"),
    weight=1.6,
)
_WISH = PointTemplate(
    "wish",
    say=(
        "(I'd like|I want|I expect|Please) (a refund of |my {money} back|to get {money} back)(.|, {due}.)".replace(
            "(a refund of |my {money} back|to get {money} back)", "(my {money} back|to get {money} back)"
        ),
        "(Could you|Maybe you could|My suggestion|You should)(:|,|) {act}(, {reason}|).",
        "(I wish|It would help if|Perhaps) you could {act} {due}.",
        "(Please|Can someone) (call|contact) me (on|at) {phone}( {due}|).",
    ),
    tell=(
        "The customer wants {money} back.",
        "The customer wants {money} back {due}.",
        "The customer suggests to {act}.",
        "The customer suggests to {act} because {reason}.",
        "The customer asks the company to {act} {due}.",
        "The customer asks for a call at {phone}.",
        "The customer asks for a call at {phone} {due}.",
    ),
    brief=("Wants {money} back", "Suggestion: {act}", "Call {phone}"),
    head=("Customer wants {money} back", "Customer suggests to {act}"),
    facts=("action:money!", "action:act!", "when:due", "amount:phone!"),
    weight=1.6,
)
_RATE = PointTemplate(
    "rating",
    at_most_once=True,
    say=(
        "(All in all|Overall|In total)(,|) (I'd give|I give|we give) (it |you |)(a |){few} out of ten(, (last year|before) it (was|would have been) {few2}|).",
        "(I|We) (will|would) (definitely |probably |)(come back|recommend you|order again)(, (in|maybe in) {month}|).",
        "(I|We) (won't|will not) (be back|come again|order again) unless {thing} changes.",
        "We('ve| have) been (customers|guests|members) (for|) {few3} years(, and (this|it) never happened before|).",
    ),
    tell=(
        "The overall rating is {few} out of ten.",
        "The rating is {few} out of ten, compared with {few2} before.",
        "The customer would come back in {month}.",
        "The customer will not return unless {thing} changes.",
        "The customer has been with them for {few3} years.",
    ),
    brief=("Rating: {few} out of ten", "Customer for {few3} years", "Would return in {month}"),
    facts=("amount:few!", "amount:few3!", "when:month", "what:thing"),
    weight=0.9,
)
REGISTER = Register(
    "feedback", 1.3, (25, 90, 260), (1, 1), scene=("org", "product", "when"),
    openings=("(Hi|Hello)(, my name is {self}|, this is {self}|). (I'd like|I want|I wanted) to (leave|give|say) (some|a bit of) (feedback|a few words) (about|on) {org}.", "(I was|We were) (at|with) {org} (recently|for the first time)(, and (I must say|here is what we thought)|).", "(Feedback|Comments|A review) (for|on) {org}(, from {self}|).", "(So|Okay), (I bought|I've had|we got) (a|the) {product} from {org}(, and I have (thoughts|mixed feelings)|).", "(This is|Here's) {self}, (a long-time customer|customer) (of|at) {org}.", "(You asked|You wanted to know) (how|what) (it was|we thought) at {org}."),
    closings=("(That's all|That's it)(. Thanks for listening|, thank you|).", "(I hope|Hope) (this helps|you read this).", "(Thanks|Bye|Kind regards)(, {self}|).", "(Keep it up|Good luck)(, anyway|)."), point_templates=(_GOOD, _BAD, _WISH, _RATE), lead_templates=(_BAD, _GOOD), links=("(Also|And).", "(One more thing|Another point)."),
    unnamed_speaker="the customer", gists=("{Self} gives feedback on {org}.", "A customer gives feedback about {org}.", "Feedback about the {product} from {org}."), headlines=("Customer feedback on {org}",), topics=("Feedback on {org}", "Customer feedback"), gist_facts=("who:org!", "what:product!"), fillers=0.08, chat=0.3, asides=("(I|We) (don't|do not) (usually|normally) (complain|write reviews).", "(I|We) (understand|know) (it's|that it's) (busy|hard to find staff|not easy).", "My (wife|husband|mother|friend|kids) (agreed|thought so too|said the same).", "{@opinion}"),
    domains=("retail", "restaurant", "travel", "dental", "fitness", "housing", "school", "banking", "insurance", "theatre", "logistics"),
)  # fmt: skip
