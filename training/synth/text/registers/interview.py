# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Interview: an interviewer asks, one person answers, about their work and plans."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import UPDATES
from training.synth.text.script import PointTemplate

_START = PointTemplate("start", at_most_once=True, say=("(When|How) did (you|it all) (start|begin)?// (Well|Oh|Actually), (in|it was) {year}(. I was {age} and|, when I|. I) (had a desk job|was still a student|worked in a bank|was out of work), and (then|one day) I (quit|stopped|left) to {act}.", "You (started|founded|opened) {org} in {year}(, with {few} people|). (Why|What made you do it)?// (Because|Simply because|I think because) {reason}.", "(How long|Since when) have you (been doing this|worked on {topic})?// (Since|From) {year3}(, when {reason}|). (We were|It was) {few} people (then|back then), (now|today) (we're|it's) {count}."),
           tell=("{Guest} started in {year}, leaving a job to {act}.", "{Guest} founded {org} in {year} because {reason}.", "{Guest} has done this since {year3}; the team grew from {few} to {count} people."), brief=("Started in {year} to {act}", "{Org} founded in {year}", "Since {year3}: from {few} to {count} people"), head=("{Guest} on starting {org} in {year}",), facts=("when:year!", "when:year3!", "reason:reason", "amount:count", "amount:few", "who:org!"))  # fmt: skip
_HARD = PointTemplate(
    "hard",
    at_most_once=True,
    say=(
        "What was the (hardest|worst|most difficult) (moment|part|thing)?// (Oh|Well|Probably|That's easy)(, definitely|)(:|,) {fault}(, in {year}|, {past}|)(. We lost {money}.|, and it cost us {money}.|.)",
        "(Did|Has) (anything|something) ever go (really |)wrong?// (Yes|Sure|Plenty). {Fault}( {past}|)(, because {reason}|). (I learned a lot from that|It was awful|We laughed about it later).",
    ),
    tell=(
        "The hardest moment was when {fault}.",
        "The hardest moment was when {fault}, which cost {money}.",
        "{Guest} recalls that {fault}.",
        "{Guest} recalls that {fault}, because {reason}.",
    ),
    brief=("Hardest moment: {fault}",),
    head=("{Guest}: {fault}",),
    facts=("problem:fault!", "amount:money", "reason:reason"),
)
_PLAN = PointTemplate(
    "plans",
    say=(
        "(What's|And what's|What comes) next(, then|)?// (We|I) (want|plan|hope|intend) to {act} {due}(, and then {act2}|).",
        "(Where|What) (do you see|is) {topic} (in|over) (the next |){few} years?// (I think|I'd say) (we|they) will {win}(, rather than| instead of what everyone expects, to) {lose}(, because {reason}|).",
        "(Any|Are there) plans for {thing}?// (Yes|Absolutely), (it's|it is) (coming|planned) {when}(, it will cost {money}|).// (Exciting|Lovely|Nice).",
    ),
    tell=(
        "{Guest} plans to {act} {due}.",
        "{Guest} plans to {act} {due} and then {act2}.",
        "{Guest} expects that they will {win} rather than {lose}.",
        "{Guest} expects that they will {win} rather than {lose}, because {reason}.",
        "{Thing} is planned {when}.",
        "{Thing} is planned {when} and will cost {money}.",
    ),
    brief=("Plan: {act} {due}", "Expects to {win}, not {lose}", "{Thing} planned {when}"),
    head=("{Guest} plans to {act}", "{Thing} planned {when}"),
    facts=("action:act!", "when:due!", "what:thing!", "when:when!", "decision:win!", "amount:money"),
)
_NUMBERS = PointTemplate(
    "numbers",
    say=(
        "(How many|What kind of) (people|customers|members) (do you have|is that|are we talking about)?// (About|Roughly|Around|Right now) {many}(, (up|grown) {pct} (in a year|since {month})|).",
        "(Is it|Does it) (profitable|pay off)?// (It is|Yes|Just about), (we made|we earned|it brought in) {big} last year(, (up|growth of) {pct}|).",
        "(And|So) (what does|how much does) {thing} cost?// (About |Around |){money}(, it used to be {money2}|).",
    ),
    tell=(
        "There are about {many} people involved.",
        "There are about {many} people, up {pct}.",
        "It made {big} last year.",
        "It made {big} last year, up {pct}.",
        "{Thing} costs {money}.",
        "{Thing} costs {money}; it used to be {money2}.",
    ),
    brief=("About {many} people", "{Big} last year", "{Thing}: {money}"),
    facts=("amount:many!", "amount:big!", "amount:pct", "amount:money!", "what:thing"),
)
_ADVICE = PointTemplate(
    "advice",
    at_most_once=True,
    say=(
        "(What|Which) advice (would you give|do you have for) (beginners|young people|others)?// (Oh|Well|Hm)(,|) {act} (first|early|before anything else)(, and|;) (never|don't) {lose}.",
        "(If you could|Would you) (change|do) one thing (differently|)?// I would {win}, (not|instead of what we did, which was to) {lose}(, because {reason}|).",
    ),
    tell=(
        "The advice is to {act} first and never {lose}.",
        "{Guest} would {win} rather than {lose}.",
        "{Guest} would {win} rather than {lose}, because {reason}.",
    ),
    brief=("Advice: {act} first", "Would {win}, not {lose}"),
    facts=("what:act!", "what:win!"),
    weight=0.8,
)
REGISTER = Register(
    "interview", 1.2, (70, 220, 900), (2, 2), scene=("guest=expert", "org", "topic", "place"),
    openings=("(Welcome|Hello and welcome|Good evening). (My guest|With me) (today|tonight) is {guest}(, (who runs|from|head of) {org}|). (We'll|Let's) talk about {topic}.// (Thanks for having me|Hello|Glad to be here).", "{Guest}(, of {org}|, from {place}|), (thank you|thanks) for (coming|taking the time)(. We want to talk about {topic}|).// (My pleasure|Happy to be here|Thank you).", "(So|Okay, recording). (I'm here|I'm sitting here) with {guest}(, in {place}|) to (talk|speak) about {topic}. (How are you|Hi)?// (Good, thanks|Very well|Hi).", "(Today|In this conversation)(:|,) {guest}(, from {org},|) on {topic}.", "(Please|First), (introduce yourself|who are you and what do you do)?// (Sure|Yes|Hello), I'm {guest}(, from {org}|, I live in {place}|), and (I work|my field is|I work mostly) (on |in ){topic}.", "(Good morning|Hello), {guest}. {Topic}, (that's|it's) (your|quite a) (subject|thing)(, right|)?// (It is|Yes, for many years|You could say that)."),
    closings=("(Thank you|Thanks)(, {guest}| very much|).// (Thank you|Thanks for having me|A pleasure).", "(That was|We were talking to) {guest}. (Thanks for listening|Until next time).", "(Last question|One last thing)(:|,) (tea or coffee|dogs or cats|sea or mountains)?// (Tea|Coffee|Dogs|Cats|The sea)(, always|)."), point_templates=(_START, _HARD, _PLAN, _NUMBERS, _ADVICE, *UPDATES), lead_templates=(_START, _PLAN, _HARD),
    gists=("{Guest} from {org} talks about {topic}.", "An interview with {guest} about {topic}.", "An interview with {guest}.", "{Guest} talks about {topic}.", "In an interview, {guest} speaks about {topic}."), headlines=("Interview with {guest} about {topic}", "{Guest} on {topic}"), topics=("{topic}", "Interview with {guest}"), gist_facts=("who:guest!", "what:topic!", "who:org"), fillers=0.1, chat=0.4,
    asides=("(Interesting|Fascinating|Really|Wow).// (Yes|It is|I think so)(, and people forget that|, it surprised me too|).", "(How|And how) did (that|it) feel?// (Strange|Wonderful|Scary|Honestly, I don't remember)(, at first|).", "(Some|Many) people (say|think) (it's|that's) (luck|too much|old-fashioned).// (Maybe|Perhaps|Let them)(, I don't mind| talk|).", "{@opinion}", "(You smile|You're laughing)?// (Yes|Well), (it's a long story|I was thinking of my mother|we were so young)."),
)  # fmt: skip
