# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Support call: a customer with a problem, an agent with a remedy."""

from training.synth.text.compose import Register
from training.synth.text.script import PointTemplate

_CASE = PointTemplate(
    "case",
    say=("(How can I help|What can I do for you)( today|)?// (Well|Hi|Yes), (I bought|I have|I ordered) (a {product}|one of your {product} sets) {past}, and {symptom}.// (I'm sorry to hear that|Oh dear|Okay), (can I have|what's) (your|the) (order|customer) number?// (Yes, it's|It's|Sure,) {code}.", "(What seems to be|What's) the (problem|trouble)?// (My|Our) {product}(,|) {symptom}(, (ever |)since {weekday}|).// (I see|Right). (And|Do you have) the order number?// {Code}.", "(I'm calling|I am calling) because (my|the) {product} (arrived|came) {past} and {symptom}.// (Oh, I'm sorry|That's not good). (Is that|Would that be) order {code}?// (Yes|That's the one).", "(I was charged|You charged me|My bill says) {money} (instead of|but it should be) {money2}(, for {thing}|).// (Let me check|One moment). (Your account number|The number), please?// {Code}."),
    tell=("The customer's {product}, order {code}, has a problem: {symptom}.", "A customer reports about the {product} that {symptom}.", "The customer bought a {product} {past}, and {symptom}; the order number is {code}.", "A customer was charged {money} instead of {money2}; the account number is {code}."), brief=("{Product}: {symptom} (order {code})".replace("(", "").replace(")", ""), "Charged {money} instead of {money2}, account {code}"), head=("{Product}: {symptom}", "Customer charged {money} instead of {money2}"),
    facts=("what:product!", "problem:symptom!", "amount:code", "amount:money!", "amount:money2", "when:past"),
)  # fmt: skip
_TRY = PointTemplate(
    "tried",
    say=("Have you (tried|already tried) to {remedy}?// (Yes|I did)(, twice|, of course|), (but |)(no difference|it didn't help|nothing changed).// (Okay|Hm), then (let's|please|could you) {remedy2}.// (Oh|Ah|Wait), (that did it|it's working now|that helped).", "(Could you|Can you|Please) {remedy} (for me|now)?// (Okay|Hold on|Just a second).( Done.|) (Hm, no|No), (still the same|that doesn't help).", "(First|Let's) {remedy}.// (Right|Doing it).// (And now|Any change)?// (Yes|Oh yes), (it works|all good now)."),
    tell=("To {remedy} did not help, but to {remedy2} solved it.", "The agent had the customer {remedy}, then {remedy2}.", "The customer was asked to {remedy}."), brief=("Tried: {remedy}, then {remedy2}", "Tried: {remedy}"), facts=("what:remedy", "result:remedy2"), weight=1.0,
)  # fmt: skip
_REMEDY = PointTemplate(
    "remedy", is_decision=True, at_most_once=True,
    say=("(I'll|I can|What I'll do is) send (you |)a (new one|replacement), (it|that) (will|should) (arrive|be there) {due}.// (Great|Perfect|Okay)( and the old one? Do I send it back?// Yes, please, within {few} weeks.|.)", "(I'm going to|I'll|We'll) refund (you |)(the |){money}(, you'll see it in {few} days|, it takes {few} working days).// (Thank you|Oh good|Fine).", "(Would you like|Do you want) a refund or a (new one|replacement)?// (A refund|I'd rather have a refund|The refund), please.// (Okay|Done), that's {money} back on your (card|account)( within {few} days|).", "(I'll|Let me) book (you |)a technician {when}(, is that okay|)?// (Can it be|Any chance of) (later|earlier)?// (I have|There's) {day} at {time}.// (Perfect|Yes), (that one|I'll take it)."),
    tell=("The agent will send a replacement {due}.", "The customer gets a refund of {money}.", "The customer gets a refund of {money} within {few} days.", "A replacement arrives {due}; the old one goes back within {few} weeks.", "A technician visit was booked for {day} at {time}.", "A technician will come {day} at {time}."), brief=("Refund of {money}", "Replacement {due}", "Technician: {day} at {time}"), head=("Customer gets {money} refund", "Replacement sent {due}", "Technician booked for {day}"), facts=("decision:money!", "when:due!", "when:day!", "when:time!", "amount:few"), weight=2.0,
)  # fmt: skip
_CONTACT = PointTemplate(
    "contact", at_most_once=True,
    say=("(And your name|Who am I speaking to|May I have your name)?// {Person}.// (Thank you|Thanks), (and a number|a number where we can reach you)?// {Phone}.", "(If|In case) (it happens again|there's trouble), (call|use) {phone} and (ask for|quote) {code}.", "(My name is|It's) {person}, (by the way|for your notes), (number|phone) {phone}."),
    tell=("The customer is {person}, reachable at {phone}.", "If it happens again, the customer should call {phone} and mention {code}."), brief=("Customer: {person}, {phone}", "Call {phone}, reference {code}"), facts=("who:person!", "amount:phone", "amount:code"), weight=1.0,
)  # fmt: skip
REGISTER = Register(
    "support_call", 1.8, (50, 150, 480), (2, 2), scene=("org",), openings=("(Thank you for calling|Welcome to|Hello, this is) {org}(, you're speaking (to|with) {self}|, my name is {self}|, {self} speaking).", "{Org}, {self} (speaking|here), (good morning|hello|good afternoon).// (Hi|Hello|Yes, hi), (finally|I've been on hold forever|thanks for picking up).", "(Customer service|Service desk|Support), (good morning|hello).// (Hello|Hi), (is that|have I reached) {org}?// (Yes|It is)(, how are you|).", "{Org} (support|help line|customer care). {Self}, (hi|good evening).", "(Hello|Hi)(, is this {org}|)?// (Yes|That's right), {self} (here|speaking).", "(Good afternoon|Good morning), {org}(. This call may be recorded|, thanks for holding)."),
    domains=("retail", "software", "travel", "banking", "insurance", "logistics"),
    closings=("(Is there|Was there) anything else?// (No|No, that's all)(, thanks|, thank you).// (Have a nice day|Goodbye|Bye then).", "(Thanks|Thank you)(, you've been very helpful| for your help|).// (You're welcome|My pleasure). (Bye|Goodbye).", "(Okay|Great), (bye|goodbye).// (Bye bye|Goodbye|Take care)."), point_templates=(_TRY, _REMEDY, _CONTACT), lead_templates=(_CASE,),
    gists=("A customer called {org}.", "{Self} at {org} took a customer's call."), headlines=("Customer calls {org} support",), topics=("Customer call to {org}", "Support call"), gist_facts=("who:org",), fillers=0.1, chat=0.35,
    asides=("(Let me|I'll just) (have a look|pull that up|check the system)( for you|)(.|, one moment.)// (Okay|Sure|Take your time).", "(I|We) (use|need) it (every day|for work), (so|you know), (it's really annoying|it's a pain).// (I understand|I completely understand|Of course).", "(It's been|I've been) (a nightmare|passed around|explaining this) (honestly|already).// (I'm sorry about that|I do apologise|Let's fix it now).", "{@react}// {@opinion}"),
)  # fmt: skip
