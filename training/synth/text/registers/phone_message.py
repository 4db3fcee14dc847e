# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""A message taken for somebody else: who called, what they want, what to do."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import COST, DELAY, FAULT
from training.synth.text.script import PointTemplate

_WANTS = PointTemplate(
    "wants",
    say=("The caller (wants|asked|would like) you to {act} {due}(, because {reason}|).", "(You're|You are) (supposed|asked) to {act} {due}.", "{Caller} (asked|asks|wondered) (if|whether) you could {act} {due}(, {reason}|).", "Could you {act} {due}? That's what {caller} (needs|wanted|asked for).", "{Caller} (was very clear|insisted|said twice) that (somebody|someone|you) (has to|must) {act} {due}."),
    tell=("{Caller} wants {to} to {act} {due}.", "{To} is asked to {act} {due}.", "{Caller} asked {to} to {act} {due} because {reason}."), brief=("{To} to {act} {due}",), head=("{To} asked to {act} {due}",), facts=("action:act!", "when:due!", "reason:reason"), act=("to", "act", "due"), weight=2.5,
)  # fmt: skip
_AVAILABLE = PointTemplate(
    "available",
    say=("{Caller} (will be|is) (in|at) {spot} (until|till) {time}(, (after that|then) (call|try) {phone}|).", "(You can|Best to) (reach|get|catch) {caller} (at|on) {phone} (between|from) {time} (and|to) {time2}.", "{Caller} (will|is going to) (call|ring|try) again {when}."),
    tell=("{Caller} can be reached at {phone} between {time} and {time2}.", "{Caller} will call again {when}.", "{Caller} is at {spot} until {time}.", "{Caller} is at {spot} until {time} and then at {phone}."), brief=("{Caller} will call again {when}", "{Caller}: {phone}", "{Caller} at {spot} until {time}"), facts=("amount:phone!", "when:time", "when:when!"), weight=1.2,
)  # fmt: skip
REGISTER = Register(
    "phone_message", 1.2, (18, 55, 130), (1, 1), scene=("caller=expert", "org", "topic"),
    openings=("(Hi|Hey|Hello) {to}, (it's|this is) {self}. {Caller} from {org} (called|phoned|rang) (for you|while you were out|just now) about {topic}.", "{To}, you had a call from {caller}(, from {org}|)( this morning| an hour ago|)(, about {topic}|).", "(Message|A message) for {to}(:|.) {caller} (called|phoned)(, from {org},|) (regarding|about|to talk about) {topic}.", "(Just so you know|Before I forget), {to}, {caller} from {org} (was on the phone|called earlier|left word) about {topic}.", "(Hi|Hello) {to}, {self} at the front desk. (I've got|There was) (a call|someone) for you(:|,) {caller} of {org}, (it's about|concerning) {topic}.", "(Okay|Right), phone messages for {to}. {Caller} (rang|called)( from {org}|), (something about|it was about) {topic}."),
    closings=("(That's all|That was it|I think that's it). (Thanks|Bye|See you later).", "(I said|I told them) you'd (get back to them|be in touch)( today|).", "(Let me know|Shout) if (you need more|I should call back)."), point_templates=(_WANTS, _AVAILABLE, DELAY, COST, FAULT), lead_templates=(_WANTS, _WANTS, DELAY, COST, FAULT, _AVAILABLE),
    links=("(And|Also).", "(There was something else|One more thing|Oh yes)."), gists=("{Caller} from {org} called {to} about {topic}.", "{Caller} called for {to} about {topic}.", "A message for {to}: {caller} called."), headlines=("{Caller} called {to} about {topic}", "{Caller} called for {to}"), topics=("{topic}", "Call from {caller}"),
    gist_facts=("who:caller!", "who:org", "what:topic!", "who:to"), fillers=0.07, chat=0.25, asides=("(They|The caller) (sounded|seemed) (a bit stressed|quite relaxed|in a hurry|very friendly).", "(I wrote it down|I hope I got that right|The line was bad).", "(I didn't|I did not) (promise|say) anything.", "{@opinion}"),
)  # fmt: skip
