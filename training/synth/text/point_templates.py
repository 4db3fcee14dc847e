# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Templates of points that occur in many registers: actions, decisions, delays, costs, faults, figures, changes,
meetings, people.

A wording that needs a dialogue has "//" in it. Knows nothing about registers.
"""

from training.synth.text.script import PointTemplate

ACTION = PointTemplate(
    "action",
    say=(
        "{Who}, (can|could|would) you {act} {due}?// {@ok}, (I'll do it|consider it done|I'll get on it|{due} is fine).",
        "{Who}(, you're going to| will|'s going to| is going to| has agreed to| said they'd) {act} {due}(, right?// Right.|.)",
        "(I've put|Let's put) {who} down (for this one|for it)(:|,) {act}(, and that has to happen| and it has to be done) {due}.",
        "(Someone|Somebody) (has to|needs to|should) {act} {due}. {Who}, (is that you|can you take that|are you okay with that)?// (Yes|Yeah|Sure), (I'll take it|that's me|leave it with me).",
        "We (still|also) need to {act}, and (that's|that one is) (on|with|for) {who}, {due}.", "(Next|The other) (thing|step|to-do): {who} (to|will|is to) {act} {due}.",
        "(I spoke to|I talked to|I caught) {who} (earlier|yesterday|in the hallway), and {who} will {act} {due}.", "(Then|And|So) {who}, you {act}, {due}, (please|okay|if that's all right)?// (Okay|Yes|Fine), (will do|no problem).",
        "Who can {act}?// I can, (it's|this is) {who}(.|, I have time for it.)// (Great|Thanks), {due}(, please|) then.", "(It was agreed|We agreed) that {who} (would|will|should) {act} {due}.", "{Who} (offered|volunteered|promised) to {act} {due}.",
    ),
    tell=("{Who} will {act} {due}.", "{Who} is to {act} {due}.", "{Who} agreed to {act} {due}.", "{Who} needs to {act} {due}.", "{Who} was asked to {act} {due}."),
    brief=("{Who} to {act} {due}", "{Who} will {act} {due}", "{Who}: {act} {due}"),
    head=("{Who} to {act} {due}",), facts=("action:who+act!", "when:due"), act=("who", "act", "due"), weight=2.2,
)  # fmt: skip
DECISION = PointTemplate(
    "decision", is_decision=True,
    say=(
        "(So|Okay, so) (do we|are we going to|should we) {lose} or {win}?// (I'd say|I think we should|My vote is to|For me we) {win}(, because {reason}|).// (Agreed|Fine|Okay), (let's do that|decided|we {win}, then).",
        "We (talked|went back and forth) about whether to {lose}, but (in the end|finally) we (decided|agreed|chose) to {win}(, because {reason}|, since {reason}|).", "The (decision|conclusion|plan) is to {win}(, not|, instead of going with the idea to) {lose}(, because {reason}|).",
        "(Let's|We'll) {win}(, since {reason}|). (I know|Yes,) (some of you|a few people) wanted to {lose}, but (no|not this time|that's off the table).",
        "(Originally|At first|Last week) the idea was to {lose}. (That's|That has) (changed|been dropped|gone). (Now we|We now|Instead we) {win}(, because {reason}|).",
        "(Are we all|Is everyone) (okay|happy|fine) (with this|then)? We {win}(, since {reason}|).// (Yes|Yep|Okay by me).// (Good|Great), and the other option, to {lose}, is (out|off the table|dropped).",
        "It('s| is) (settled|official|decided)(:|,) we('re going to| will|'ll) {win}(, because {reason}|).", "(The vote|The vote was clear|Everyone voted): we {win}, (we do not|we don't) {lose}.", "(My|The) suggestion was to {lose}, but {who} (convinced|talked) (us|everyone) (to {win}|into a different plan, to {win})( because {reason}|).",
    ),
    tell=("It was decided to {win} because {reason}.", "They decided to {win} rather than {lose}.", "It was agreed to {win}.", "The group agreed to {win}, as {reason}.", "The decision is to {win} instead of the plan to {lose}.", "They will {win} because {reason}.",
          "After discussion they chose to {win}.", "The plan to {lose} was dropped, and they will {win}."),
    brief=("Decision: {win}", "Decided to {win} because {reason}", "Agreed to {win}, not to {lose}", "They will {win}"),
    head=("Decision: {win}", "Team decides to {win}"), facts=("decision:win!", "reason:reason"), weight=1.6,
)  # fmt: skip
DELAY = PointTemplate(
    "delay",
    say=(
        "{Thing} (won't|will not) be (ready|done|there|available) (on|by|before) {weekday} (as planned|as we hoped), it's (now|going to be) {day}(, because {reason}|).", "(Unfortunately|Bad news|Sadly)(,|:) {thing} is (late|delayed|pushed back|running behind)(, because {reason}|). The new date is {day}.",
        "{Thing} (has slipped|is slipping|got pushed)(, because {reason}|), so (we're now looking at|expect it|it's now) {day}.", "We (have to|had to) (move|push|postpone|shift) {thing} (back |)(from {weekday} |)to {day}(, since {reason}|, because {reason}|).",
        "(When|What day) (will|can|do) we (have|get|expect) {thing}?// (It's|That's|Realistically it's) {day} now(, because {reason}|).", "{Thing} was (meant|supposed) to (happen|be finished|come) (on|by) {weekday}, but {reason}, so (it's been|it has been|they) moved (it |)to {day}.",
        "(About|On) {thing}: (expect a delay|it's delayed|there's a delay) until {day}(, {reason}|).",
    ),
    tell=("{Thing} is delayed until {day}.", "{Thing} is delayed until {day} because {reason}.", "{Thing} has been moved to {day}.", "The new date for {thing} is {day}, because {reason}.", "{Thing} was due on {weekday} but has moved to {day}.", "{Thing} will not be ready until {day}."),
    brief=("{Thing} delayed until {day}", "{Thing} moved to {day} because {reason}", "New date for {thing}: {day}"), head=("{Thing} delayed until {day}", "{Thing} moves to {day}"),
    facts=("what:thing!", "when:day!", "reason:reason"),
)  # fmt: skip
COST = PointTemplate(
    "cost",
    say=(
        "{Thing} (will cost|costs|is going to cost|comes to|comes in at) (us |){money}(, instead of the {money2} we (planned|thought|paid last time)|).", "(The quote|The estimate|The price|The bill) for {thing} (is|came in at|was|came back at) {money}(, and we had {money2} in the budget|).",
        "We (paid|spent|ended up paying) {money} (for|on) {thing}(, and that's within budget|, over the {money2} we set aside|).", "How much (is|was|are we paying for|did they want for) {thing}?// {Money}(, plus {cash} for delivery|).", "(Budget-wise|On the money side|Cost)(,|:) {thing} (is|will be|comes to) {money}(, (a bit|slightly) over|).",
        "(They|The supplier) (want|asked for|quoted) {money} for {thing}, (and I think that's fair|which seems steep|but we may get it cheaper).", "(We've|We have) set aside {money} for {thing}(, paid in {few} (parts|instalments)|).",
    ),
    tell=("{Thing} costs {money}.", "The price for {thing} is {money}.", "{Money} is needed for {thing}.", "The cost of {thing} comes to {money}.", "{Thing} comes to {money}, plus {cash} for delivery."),
    brief=("{Thing}: {money}", "Cost of {thing}: {money}", "{Money} for {thing}"), head=("{Thing} to cost {money}",), facts=("amount:money!", "what:thing"),
)  # fmt: skip
FAULT = PointTemplate(
    "fault",
    say=(
        "(So|As you may know|Just so you know), {past} {fault}(, and it took {span} to (sort out|fix|put right)|).", "{Fault} {past}(, because {reason}|).( It's fixed now.| We're still looking into it.|)", "(We had|There was) a (problem|bit of trouble|situation) {past}(:|,) {fault}(, and that cost us {span}|).",
        "(What happened|What went wrong)?// {Fault}(, because {reason}|)(. That was {past}.|.)", "(The main|Our biggest|One) (issue|headache|problem) (is|was) that {fault}( {past}|)(, probably because {reason}|).", "I (noticed|found out|heard) that {fault}( {past}|)(. We lost {span}.|.)",
    ),
    tell=("{Fault}.", "{Fault} {past}.", "{Past}, {fault}.", "{Fault} because {reason}.", "{Fault} {past}, which cost {span}.", "A problem was reported: {fault}."), brief=("{Fault}", "{Fault} {past}", "Problem: {fault}"), head=("{Fault}",),
    facts=("problem:fault!", "when:past", "reason:reason", "amount:span"),
)  # fmt: skip
_UP = PointTemplate(
    "metric_up",
    say=(
        "{Metric} (is|was|went) up (by |){pct} {period}(, which (is good|is nice to see|surprised me)|).", "(Looking at|On) the numbers, {metric} (rose|grew|climbed) (by |){pct} {period}(, compared with {pct2} (before|the year before)|).", "(And|How's|What about) {metric}?// (It's|It is) up {pct} {period}.",
        "(Good news|The good news)(:|,) {metric} (rose|increased|went up) (by |){pct} {period}.", "{Period}, {metric} (jumped|rose|grew) (by |){pct}(, mostly because {reason}|).", "We saw a {pct} (rise|increase|jump) in {metric} {period}.",
    ),
    tell=("{Metric} rose by {pct} {period}.", "{Metric} is up {pct} {period}.", "{Period}, {metric} went up {pct}.", "{Metric} increased by {pct} {period} because {reason}."), brief=("{Metric} up {pct} {period}", "{Metric}: up {pct}"),
    head=("{Metric} up {pct}",), facts=("result:metric!", "amount:pct!", "when:period"),
)  # fmt: skip
_DOWN = PointTemplate(
    "metric_down",
    say=(
        "{Metric} (fell|dropped|went down|is down) (by |){pct} {period}(, because {reason}|, mainly because {reason}|).", "(Less good|The bad news|Not so good)(:|,) {metric} (dropped|fell|went down) (by |){pct} {period}.", "{Period}, {metric} (fell|slipped|dropped) (by |){pct}(, partly because {reason}|).",
        "(And|How's|What about) {metric}?// (Down|It's down) {pct} {period}(, I'm afraid|, unfortunately|).", "There was a {pct} (drop|fall|decline) in {metric} {period}.", "We lost ground on {metric}, (it's|it is) down {pct} {period}.",
    ),
    tell=("{Metric} fell by {pct} {period}.", "{Metric} is down {pct} {period}.", "{Metric} dropped {pct} {period} because {reason}.", "{Period}, {metric} went down {pct}."), brief=("{Metric} down {pct} {period}", "{Metric}: down {pct}"),
    head=("{Metric} down {pct}",), facts=("result:metric!", "amount:pct!", "when:period"),
)  # fmt: skip
LEVEL = PointTemplate(
    "level",
    say=("{Metric} (stands at|is at|sits at|is now at) {pct}(, (our|the) target (is|was) {pct2}|).", "(Right now|At the moment|Currently) {metric} is {pct}(, (against|compared to) {pct2} (a year ago|last time)|).", "{Metric}(,| was) {pct}(, if I read this right|).(| The goal is {pct2}.)", "(Our|The) (target|goal) for {metric} is {pct2}, (and|but) we're at {pct} now."),
    tell=("{Metric} is at {pct}.", "{Metric} stands at {pct}.", "{Metric} is at {pct}, compared with {pct2}."), brief=("{Metric}: {pct}",), facts=("result:metric", "amount:pct!"),
)  # fmt: skip
SUPPLY = PointTemplate(
    "supply",
    say=("(We|They) (only|just|) have {count} (left|in stock|on hand) and (we|they) need (at least |about |){count2}(, so we're short|).", "We (received|got|were sent) {count3} (units|pieces|boxes) {past}(, (not|instead of) {count4}|).", "{Supplier} (will deliver|is sending|can deliver|promised) {count} (units|boxes|pieces) {when}.", "(The order|The delivery|The shipment) from {supplier} is {count} (units|boxes|pallets)(, arriving {when}|, due {when}|)."),
    tell=("There are {count} on hand but {count2} are needed.", "{Count3} arrived {past}.", "{Count3} arrived {past} instead of {count4}.", "{Supplier} will deliver {count} {when}.", "An order of {count} from {supplier} is due {when}.", "The order from {supplier} is for {count}."),
    brief=("{Supplier}: {count}, {when}", "{Count} on hand, {count2} needed"), facts=("who:supplier!", "amount:count!", "amount:count3!", "amount:count2", "when:when"), weight=0.6,
)  # fmt: skip
MEET = PointTemplate(
    "meet",
    say=("(We'll|Let's|We will) (meet|get together|sit down|talk) (again |)(about {topic} |){when}(, in {room}|).", "(The next|Our next) (meeting|session|review|call) (is|will be) {when}( in {room}|).", "(Can we|Could we) (meet|speak|catch up) {when}( in {room}|)?// {@ok}.", "I('ve| have) (booked|reserved) {room} {when}(, to go through {topic}|, for {topic})."),
    tell=("They will meet {when} in {room}.", "The next meeting is {when}.", "A meeting is planned {when}.", "They will meet {when} about {topic}.", "{Room} is booked {when}."), brief=("Next meeting {when}", "Meeting {when} in {room}"), facts=("when:when!", "where:room"),
)  # fmt: skip
CHANGE = PointTemplate(
    "change",
    say=("(From|Starting) {day}, (we'll|we will|we|they'll|they will) {act} (every {weekday}|once a week|twice a month|once a month).", "(Please note|Note|One change)(:|,) {thing} (moves|is moving|will move) to {spot} {when}(, because {reason}|).", "{Spot3} will be (closed|off limits|shut) {when3}(, because {reason}|).", "{Thing} (is|will be) (in|moved to|set up in) {spot} (from now on|from {day})(, because {reason}|)."),
    tell=("From {day} they will {act} every {weekday}.", "From {day} the plan is to {act} regularly.", "{Thing} moves to {spot} {when}.", "{Spot3} will be closed {when3}.", "{Spot3} will be closed {when3} because {reason}.", "{Thing} will be in {spot} from {day}.", "{Thing} will be in {spot}."),
    brief=("{Thing} moves to {spot} {when}", "{Spot3} closed {when3}", "{Act} from {day}"), facts=("what:thing!", "where:spot!", "where:spot3!", "when:when", "when:when3!", "when:day", "what:act!"), weight=0.8,
)  # fmt: skip
STAFF = PointTemplate(
    "staff",
    say=("{Person} (is joining|will join|joins) (us|the team) {when}(, from {org}|), (and will|to) look after {topic}.", "{First} is (away|off|on leave|out) (until|till) {day}(, so|; meanwhile) {who} (is covering|will cover|covers|steps in).", "{Person3} is (leaving|moving on|retiring) {when3}, and {who} (will take over|takes over|is taking over) {topic}.", "{Who} is (now|from now on) (the contact|responsible|in charge) for {topic4}, (not|instead of) {first}."),
    tell=("{Person} joins {when} to look after {topic}.", "{Person} from {org} joins {when}.", "{First} is away until {day} and {who} covers.", "{Person3} leaves {when3}, and {who} takes over {topic}.", "{Who} is now responsible for {topic4} instead of {first}."),
    brief=("{Person}: {when}, {topic}", "{First} away until {day}; {who} covers", "{Who} now responsible for {topic4}"), facts=("who:person!", "who:person3!", "who:who!", "who:first!", "when:when", "when:when3", "when:day", "what:topic", "what:topic4"), weight=0.7,
)  # fmt: skip
DONE = PointTemplate(
    "done",
    say=("{Thing} is (finally |now |)(finished|done|sorted|ready|back in order)(, it took {span}|)(, thanks to {who}|).", "{Who} (finished|completed|took care of|sorted out) {thing} {past}.", "(Good news|Finally)(:|,) {thing} is (up and running|working again|finished|complete)( since {weekday}|).", "(How about|Where are we with|Any news on) {thing}?// (Done|Finished|All done)( {past}|)(, it took {span}|)."),
    tell=("{Thing} is finished.", "{Who} finished {thing} {past}.", "{Thing} is now done, after {span}.", "{Thing} is working again since {weekday}.", "{Thing} is done, thanks to {who}."), brief=("{Thing} done", "{Who} finished {thing} {past}"), head=("{Thing} finished",), facts=("what:thing!", "who:who", "when:past", "amount:span"), weight=0.8,
)  # fmt: skip
OPEN = PointTemplate(
    "open",
    say=("(We|I) (still|) (don't|do not) know (whether|if) (we can|we should) {act}. (We'll|Let's) (decide|talk about it|come back to it) {when}.", "(Whether to|The question whether to) {act} is still open(, {role} has to (answer|get back to us|sign off) first|)(, and we'll decide {when}|).", "{Role} (hasn't|has not) (answered|replied|come back to us) about {thing}(, so that stays open|, and we need an answer {due}).", "(It's|That's) still (open|unclear) who (pays for|looks after) {thing}."),
    tell=("It is still open whether to {act}.", "Whether to {act} will be decided {when}.", "{Role} has not yet answered about {thing}.", "{Role} has not answered about {thing}, and an answer is needed {due}.", "It is unclear who is responsible for {thing}."), brief=("Open: whether to {act}", "Open: {thing}"), facts=("what:act", "what:thing", "when:when", "when:due"), weight=0.7,
)  # fmt: skip
THIRD = PointTemplate(
    "third",
    say=("{Third} (told me|said|mentioned|let me know) (that |){thing} (needs|will need) {span}(, because {reason}|).", "(According to|From) {third}, {fault}( {past}|).", "(I heard from|I got a message from|I had a call from) {third}(:|,) (they|they'll) {act} {due}.", "{Third} (will|is going to|wants to|has offered to) {act} {due}."),
    tell=("{Third} said that {thing} will need {span}.", "According to {third}, {fault}.", "{Third} will {act} {due}."), brief=("{Third} to {act} {due}", "{Third}: {thing} needs {span}", "{Third}: {fault}"), facts=("who:third!", "amount:span", "problem:fault", "action:act", "when:due"), weight=0.8,
)  # fmt: skip
SELF_TASK = PointTemplate(
    "self_task",
    say=("(I'll|I will|I'm going to) {act} {due}.", "I (need|have) to {act} {due}(, because {reason}|, since {reason}|).", "(Note to self|Don't forget|Also)(:|,) {act} {due}.", "(Must|Have to|Should) {act} {due}(, otherwise I'll forget|, really this time|).", "(I promised|I said I'd|I told {third} I would) {act} {due}.", "On my list(:|,) {act}(,|) {due}.", "(Let me|I want to) {act} {due}, (if I find the time|before anything else|that comes first)."),
    tell=("{Self} will {act} {due}.", "{Self} needs to {act} {due}.", "{Self} plans to {act} {due}.", "{Self} has to {act} {due} because {reason}."), brief=("{Self} to {act} {due}", "{Act} {due}"), head=("{Self} to {act} {due}",), facts=("action:act!", "when:due!", "reason:reason"), act=("self", "act", "due"), weight=2.0,
)  # fmt: skip
UPDATES = (_UP, _DOWN, LEVEL)
