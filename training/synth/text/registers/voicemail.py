# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Voicemail: one speaker, who calls and why, what is wanted back."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import COST, DELAY, FAULT, SELF_TASK, THIRD
from training.synth.text.script import PointTemplate

_MOVE = PointTemplate(
    "move", at_most_once=True,
    say=(
        "(I'm calling|I wanted to call|Just calling) about (your|our|the) appointment {when}. (I'm afraid|Unfortunately|Sorry, but) (we have to|I need to|I have to) move it (because {reason}|)( —|,) would {day} at {time} (work|be okay|suit you)?", "(Listen,|So,|) (our|the) meeting {when} (doesn't|does not|won't) work for me (after all|any more|), {reason}. Could we (do|make it|meet) {day} at {time} instead?",
        "Your (appointment|booking|slot) (was|is down) for {when}, but {reason}, so (I'd like to|we'd like to|can we) (offer you|suggest|switch to) {day} at {time}.", "(I can't|I can not|I won't be able to) make it {when}, (sorry about that|I'm really sorry), {reason}. How about {day}, (say|around|maybe) {time}?",
    ),
    tell=("The meeting {when} has to move and {day} at {time} is suggested.", "{Self} cannot make it {when} because {reason} and suggests {day} at {time}.", "{Self} would like {day} at {time} rather than {when}.", "{Self} proposes {day} at {time} instead of {when}."),
    brief=("New time: {day} at {time}, not {when}", "New time suggested: {day} at {time}"), head=("{Self} asks to move appointment to {day}",), facts=("when:day!", "when:time!", "when:when", "reason:reason"), weight=1.4,
)  # fmt: skip
_BACK = PointTemplate(
    "callback", at_most_once=True,
    say=(
        "(Please|Could you|Can you) (call|ring|phone) me back (on|at) {phone}(, I'm (here|around|in) until {time}|, any time before {time}|)( {weekday}|).", "(My|The) number is {phone}(, again, that's {phone}|), (and I'm|I'm) (reachable|available|free) (until|till) {time}.",
        "(You can|You'll) reach me (on|at) {phone}(, (ideally|best) before {time}|).", "(Give|Please give) me a (call|ring) (on|at) {phone} (when you get this|when you have a minute|as soon as you can)( please|).",
        "If (that's a problem|that doesn't suit you|you have questions), (call|ring|try) {phone} (before|by) {day}.",
    ),
    tell=("The call back number is {phone}.", "{Self} asks to be called back at {phone} before {time}.", "{Self} can be reached at {phone}.", "Questions should go to {phone} by {day}.", "{Self} asks for a call back at {phone}."),
    brief=("Call back: {phone}", "Call back at {phone} before {time}", "Number: {phone}"), facts=("amount:phone!", "when:time", "when:day"), weight=1.4,
)  # fmt: skip
_ASK = PointTemplate(
    "ask",
    say=("(Could|Can|Would) you (please |){act} {due}?( It's (quite|pretty|rather) (urgent|important).|)", "I (need|'d like|would need) you to {act} {due}( because {reason}|, since {reason}|).", "(It would be great|It'd help|I'd be grateful) if you could {act} {due}.", "(Please|And please) {act} {due}(, {reason}|)(, and let me know when (it's|that's) done|).", "(One favour|A favour)(:|,) (can|could) you {act} {due}?", "Would you mind? (I'm asking|The thing is|It's just), (somebody|someone) has to {act} {due}, and I (thought of you|can't do it myself|hoped you could)."),
    tell=("{Self} asks for someone to {act} {due}.",), facts=(), weight=0.0,
)  # fmt: skip
_ASK_TO = PointTemplate("ask", _ASK.say, ("{Self} asks {to} to {act} {due}.", "{To} is asked to {act} {due}.", "{Self} would like {to} to {act} {due}.", "{To} should {act} {due}, because {reason}."), ("action:act!", "when:due!", "reason:reason"),
                 ("{To} to {act} {due}", "{Act} {due}"), ("{To} asked to {act} {due}",), ("to", "act", "due"), weight=2.2)  # fmt: skip
_READY = PointTemplate(
    "ready", at_most_once=True,
    say=("Your (order|parcel|repair|prescription|key) is ready (to collect|for pick-up|at the desk)( from {day}|)(, and (it comes to|the bill is|you owe us) {cash}|). (We're|We are) open (until|till) {time}.", "(It's|This is) about {thing}. It's (ready|finished|here), (you can|please) (pick it up|come by) {when}(, and there's {cash} left to pay|)."),
    tell=("The order is ready for collection, and the place is open until {time}.", "The order is ready and comes to {cash}; closing time is {time}.", "{Thing} is ready to be picked up {when}.", "{Thing} can be picked up {when}, with {cash} to pay."), brief=("Ready for pick-up; open until {time}", "{Thing} ready to pick up {when}"),
    head=("{Thing} ready for pick-up",), facts=("what:thing!", "when:when!", "amount:cash!", "when:time!"), weight=0.7,
)  # fmt: skip
_ARRIVE = PointTemplate(
    "arrive", at_most_once=True,
    say=("I('ll| will) be (there|with you|at {spot}) {when}(, probably a bit later because {reason}|).", "(My|The) (train|flight|bus) (gets in|arrives|lands) {when}(, so (don't wait for dinner|you don't need to pick me up|I'll take a taxi)|).", "I'm running (late|behind), {reason}, I'll be (about|) {minutes} late(, so start without me|)."),
    tell=("{Self} will arrive {when}.", "{Self} will be {minutes} late because {reason}.", "{Self} will be there {when}."), brief=("{Self} arrives {when}", "{Self} {minutes} late"), head=("{Self} arrives {when}",), facts=("when:when!", "amount:minutes!", "reason:reason"), weight=0.7,
)  # fmt: skip
_OFFER = PointTemplate(
    "offer",
    say=("(We can|We could|I can) (do|offer you|let you have) {thing} for {money}(, (if you|provided you) (confirm|say yes|pay) by {day}|).", "(The|Our) quote for {thing} is {money}, (valid until|good until|and it holds until) {day}.", "(So|Right), {thing} would be {money}, and (we could|we can|they could) (start|come|deliver) {when}."),
    tell=("{Thing} is offered for {money}.", "{Thing} would cost {money} if confirmed by {day}.", "The quote for {thing} is {money}, valid until {day}.", "{Thing} would cost {money}, starting {when}."), brief=("{Thing}: {money}, until {day}", "Quote for {thing}: {money}"), head=("Quote for {thing}: {money}",), facts=("amount:money!", "what:thing!", "when:day!", "when:when!"), weight=0.8,
)  # fmt: skip

REGISTER = Register(
    "voicemail", 2.4, (18, 75, 190), (1, 1), scene=("org", "topic"),
    openings=(
        "(Hi|Hello|Hey|Good morning|Good afternoon) {to}, (it's|this is) {self}( here|)( from {org}|), (I'm calling|calling|just ringing) (about|regarding|to talk about) {topic}.", "(Hi|Hello|Hey) {to}, {self} (here|speaking)( from {org}|). (Sorry I missed you|You're not picking up|I tried you earlier|Hope you're well).", "{To}, (hi|hey|hello), (it's|it's me,) {self}. (Quick one|Just a quick message|Nothing dramatic|Two things) about {topic}.",
        "(Good morning|Good afternoon|Good evening|Hello), this is a message for {to}( from {org}|). My name is {self}, and (it's|this is|I'm calling) about {topic}.", "(Hi|Hello), this is {self} (from|at|with) {org}(, leaving a message for {to}|).", "(Yes, |)(hello|hi) {to}, (it's|this is) {self}. (I've just been|I just got off the phone|I'm just out of a meeting|I'm on my way home), and I wanted to (tell you|let you know|catch you) (about|on) {topic}.",
        "(Oh|Ah), (voicemail|the machine)(, okay|). (Hi|Hey) {to}, {self} (here|it is). (So|Right|Anyway), {topic}.", "(Hello|Hi) {to}. {Self} (from|of|with) {org}. I (hope|trust) you (are well|had a good weekend|can hear me).",
    ),
    closings=("(Thanks|Thank you|Cheers)(, bye|, talk soon|. Bye|, speak soon|)( now|).", "(Okay|Right|So), (that's it|that's all|nothing else)( for now|). (Bye|Talk soon|Take care|Speak later).", "(Looking forward to hearing|Hope to hear) from you. (Bye|Bye bye|Thanks).", "(Sorry for the long message|Sorry for rambling|I'll try again later). (Bye|Thanks).", "(Have a good|Enjoy your) (day|evening|weekend). (Bye|Bye now)."),
    point_templates=(_MOVE, _BACK, _ASK_TO, _READY, _ARRIVE, _OFFER, DELAY, COST, FAULT, SELF_TASK, THIRD), lead_templates=(_MOVE, _ASK_TO, _READY, _OFFER, DELAY, FAULT, _ASK_TO, _MOVE, _ARRIVE),
    links=("(And|Oh, and) (one more thing|another thing|before I forget).", "(Also|Then|Second).", "(Oh, and|And)."),
    unnamed_speaker="the caller", gists=("{Self} from {org} left a message for {to} about {topic}.", "{Self} called {to} about {topic}.", "A voicemail from {self} at {org}.", "{Self} left {to} a message.", "{Self} of {org} called {to}."),
    headlines=("{Self} calls {to} about {topic}", "Message from {self} about {topic}"), topics=("{topic}", "Message from {self}"), gist_facts=("who:self!", "who:to", "what:topic!", "who:org"), fillers=0.12, chat=0.2,
    asides=("(I hope|Hope) (that's okay|that works|you're well|the family is fine).", "(Sorry|Apologies) (for the short notice|to bother you|about the noise, I'm outside).", "I (tried|did try) (your|the) (mobile|office) (before|first|too), but (no luck|no answer).", "(It's|This is) (not|nothing) urgent(, but it would help|, really|).", "(I know|I realise|I realize) (you're busy|it's late|this is a lot), (so no pressure|sorry|but it matters).", "{@opinion}"),
)  # fmt: skip
