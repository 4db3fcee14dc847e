# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Sales call: needs, a price, a discount, an objection, next steps."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import MEET
from training.synth.text.script import PointTemplate

_NEED = PointTemplate("need", at_most_once=True, say=("(What|So what) (do you need|are you looking for)?// (We're|We are) (looking for|after) (something|a system) (for|to handle) {topic}(,| for) (about |){count} (people|users|places)(. (Now|Today) {fault} (all the time|too often)|).", "(Tell me|What's) (about your|the) (situation|setup)?// (We have|There's) {count} (people|staff|sites)(, and {fault} {past}|, (and|so) we need (help with|something for) {topic}|).", "(How many|What number of) (seats|units|licences) (would that be|are we talking about)?// {Count}(, maybe {count2} (next year|later)|)."), tell=("The customer needs a solution for {topic} for {count} people.", "The customer is looking for something for {topic} for {count} users because {fault}.", "The customer has {count} people and needs help with {topic}.", "The customer needs {count} units.", "The customer needs {count} units, maybe {count2} later.", "The customer has {count} people, and {fault} {past}."), brief=("Need: {topic}, {count} people", "Need: {count} units"), head=("Customer wants {topic} for {count}",), facts=("amount:count!", "what:topic!", "problem:fault", "amount:count2"), weight=1.4)  # fmt: skip
_PRICE = PointTemplate(
    "price",
    at_most_once=True,
    say=(
        "(What|And what) (would|does) (it|that|the {product}) cost?// (The {product}|It) (is|starts at|would be) {money} (a|per) (month|year|unit)(, (including|with) (training|support|set-up)|).// (That's|Hm, that's) (above our budget|more than we thought)(. We have {money2}|).// (I can|I could) (offer|give) (you |)(a discount of |){pct} (off|) if you (sign|decide) by {day}.",
        "(Our|The) (offer|price) for {product} is {money}(, (minus|less) {pct} (for|with) a {few}-year contract|).// (Okay|I see)(. And|, and) (your competitor|{supplier}) (asks|charges|wants) {money2}.// (We|They) (don't|do not) include support(, (that's the difference|you should know)|).",
        "(Let's|Can we) talk (about|) (money|the price)? (The list price|It) (is|was) {money}.// (Can you do|How about) {money2}?// (If you|When you) take {count}(, yes|, I can do {pct} off).".replace(
            "(Let's|Can we) talk (about|) (money|the price)?", "Can we talk about the price?"
        ),
    ),
    tell=(
        "{Product} costs {money}.",
        "{Product} costs {money}, with {pct} off if they sign by {day}.",
        "The price is {money}, with {pct} off if they sign by {day}.",
        "{Product} is offered at {money}, while {supplier} asks {money2}.",
        "The price is {money}; the customer asked for {money2}.",
        "The offer for {product} is {money}, less {pct} for a {few}-year contract.",
        "The price is {money}, with {pct} off for {count}.",
    ),
    brief=("Price: {money}, {pct} off until {day}", "Price: {money}"),
    head=("{Product} offered at {money}",),
    facts=("amount:money!", "amount:pct!", "when:day!", "what:product", "who:supplier", "amount:money2"),
    weight=1.6,
)
_OBJECTION = PointTemplate(
    "objection",
    say=(
        "(My|Our) (worry|concern|only problem) is {thing}(, because {reason}|).// (I understand|That's a fair point|Good question). (We can|We would|I can) {act} (first|for you)( {due}|).",
        "(And|But) what if {fault}?// (Then|In that case) (we|our people) (would |)(come out|help|step in) within {span}(, that's in the contract|).",
    ),
    tell=(
        "The customer worries about {thing}.",
        "The customer worries about {thing} because {reason}.",
        "The customer worries about {thing}, and the seller will {act} {due}.",
        "If {fault}, the seller promises help within {span}.",
    ),
    brief=("Concern: {thing}", "Help within {span}"),
    facts=("problem:thing!", "amount:span!", "reason:reason", "action:act", "when:due"),
    weight=1.2,
)
_NEXT = PointTemplate(
    "next",
    say=(
        "(I'll|I will) send (you |)(the|a) (contract|proposal|quote|demo link) {due}(, and|. Then) (we|let's) (talk|speak|meet) (again |){when}(, (okay|all right)|)?// (Yes|Good|Perfect).",
        "(Who decides|Who else has to agree)( on your side|)?// {Person}(, (our|the) (director|head of finance|owner)|)(. (They're|They are) (back|in) {when}|).",
        "(Let's|Shall we) (start|do) a (trial|pilot|test) (with {few} (people|sites)|from {day})?// (Yes|Okay|I like that)(. {Few2} weeks(, then we decide|)|).",
    ),
    tell=(
        "The seller will send the papers {due}, and they will talk {when}.",
        "{Person} has to approve it.",
        "{Person} has to approve it and is back {when}.",
        "A trial with {few} starts {day}.",
        "A trial will start {day}.",
        "A trial with {few} was agreed.",
    ),
    brief=("Papers {due}, next call {when}", "Decision by {person}", "Trial from {day}"),
    head=("Proposal to follow {due}",),
    facts=("when:due!", "when:when!", "who:person!"),
    weight=1.6,
)
REGISTER = Register(
    "sales_call", 1.2, (70, 190, 650), (2, 2), scene=("org", "product", "expert"),
    openings=("(Hello|Hi|Good morning)(, {to}|), (this is|it's) {self} (from|at|with) {org}. (Is this a good time|Do you have a minute)?// (Yes|Sure), (go ahead|I have {minutes}|hello).", "{Self}(, {org}|)(, hi|). (You asked about|You downloaded our brochure on|Thanks for your interest in) {product}.// (Yes|That's right|Hi {self}), (exactly|I did|we're curious).", "(Thanks for|Good that you could make) the call, {to}. (As you know|So), I'm {self} from {org}(, we make {product}|).", "(Hi|Hello), is that {to}?// (Speaking|Yes).// {Self} here(, from {org}|)(, about {product}|).", "(So|Great), (shall we|let's) (start|begin)? (I'm|My name is) {self}, {org}.// (Hello|Hi), {to}(, pleased to meet you|).", "(Good afternoon|Hello), {to}, {self} of {org}. (Following up|Just following up) on {product}."),
    closings=("(Great|Perfect|Good)(, thank you|)(, {to}|). (Talk soon|Bye)// (Bye|Thanks).".replace("Bye)//", "Bye).//"), "(Thanks|Thank you) for your time.// (You too|Thanks|Bye).", "(Have a good|Enjoy the) (day|weekend).// (Likewise|Same to you|Bye)."), point_templates=(_NEED, _PRICE, _OBJECTION, _NEXT, MEET), lead_templates=(_NEED, _PRICE),
    gists=("{Self} from {org} talked to {to} about {product}.", "{Self} of {org} called {to}.", "A sales call by {self} from {org} about {product}.", "{Self} from {org} spoke with a customer."), headlines=("Sales call about {product}", "{Org} offers {product}"), topics=("{product}", "Sales call by {org}"), gist_facts=("who:self", "who:org!", "what:product"), fillers=0.1, chat=0.35, asides=("{@react}// {@opinion}", "{@smalltalk}", "(We|Our company) (pride ourselves|focus) on (service|quality)(, you know|).// (Sure|They all say that|Okay)."),
)  # fmt: skip
