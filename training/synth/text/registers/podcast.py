# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Podcast talk: one or two hosts, loosely around a subject, with a few hard facts, a recommendation and a notice."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import DECISION, FAULT, UPDATES
from training.synth.text.registers.lecture import _HISTORY, _IDEA, _STUDY
from training.synth.text.script import PointTemplate

_STORY = PointTemplate(
    "story",
    say=(
        "(So|Okay so|Listen), {past} (I was|we were) (in|at) {place}(, for {topic}|), and {fault}(. It took {minutes}.|.)( {First} (couldn't stop laughing|still talks about it).|)",
        "(A listener|One of you), {first3} (from|in) {place3}, (wrote|asked|told us)(:|,) {fault}(, (can you believe that|what would you do)|).// (I'd|I would) {act}(, (obviously|probably|honestly)|).",
    ),
    tell=(
        "While in {place}, {fault}.",
        "While in {place} {past}, {fault}.",
        "A listener, {first3} from {place3}, reports that {fault}.",
        "{First3} from {place3} wrote that {fault}, and the advice is to {act}.",
    ),
    brief=("Story from {place}: {fault}", "{First3} from {place3}: {fault}"),
    head=("A story from {place}", "A listener from {place3}"),
    facts=("where:place!", "where:place3!", "who:first3", "problem:fault!", "who:first", "what:act"),
    weight=1.2,
)
_NEWS = PointTemplate(
    "news",
    say=(
        "{Org} (has announced|is bringing out|showed) (a new|the new) {product}(, (it costs|for) {money}|)(, (out|coming) {when}|).// (Too expensive|I want one|Do we need that|Finally)(, if you ask me|).",
        "(Did you|Have you) (see|hear) (that |){metric} (went|is) (up|down) {pct}?".replace(
            "(Did you|Have you) (see|hear) (that |){metric} (went|is) (up|down) {pct}?",
            "Did you hear that {metric} rose {pct}?",
        )
        + "// (No|Really|Wow)(, why|)?// (Because|Apparently because) {reason}.",
    ),
    tell=(
        "{Org} announced the {product}.",
        "{Org} announced the {product} for {money}.",
        "{Org} announced the {product}, coming {when}.",
        "{Org} announced the {product} for {money}, coming {when}.",
        "{Metric} rose {pct} because {reason}.",
    ),
    brief=("{Org}: new {product}", "{Org}: new {product} for {money}", "{Metric} up {pct}"),
    head=("{Org} announces {product}", "{Metric} up {pct}"),
    facts=("who:org!", "what:product!", "amount:money", "when:when", "result:metric!", "amount:pct!", "reason:reason"),
    weight=1.4,
)
_NOTICE = PointTemplate(
    "notice",
    say=(
        "(A quick|One) (announcement|bit of housekeeping)(:|,) (our|the) live show (is|will be) {when} in {place}(, tickets (are|from) {cash}|).",
        "(The next|Our next) (episode|guest)( is|:) {person}(, (who|they'll) talk about {topic}|)(, (out|coming) {day}|).".replace(
            "( is|:) {person}(, (who|they'll) talk", " is {person}(, who will talk"
        ),
        "(Thanks to|This episode is supported by) {org}(, (use|with) code {code} (you get|for) {pct} off|).",
    ),
    tell=(
        "A live show is planned {when} in {place}.",
        "A live show is planned {when} in {place}, with tickets at {cash}.",
        "The next guest is {person}.",
        "The next guest is {person} on {topic}.",
        "The next guest is {person}, on {day}.",
        "{Org} is the sponsor.",
        "{Org} is the sponsor; code {code} gives {pct} off.",
    ),
    brief=(
        "Live show {when} in {place}",
        "Next guest: {person}",
        "Sponsor: {org}, code {code} for {pct} off",
        "Sponsor: {org}",
    ),
    head=("Live show {when} in {place}", "Next guest: {person}"),
    facts=("when:when!", "where:place!", "who:person!", "who:org", "amount:code", "amount:pct", "when:day"),
    weight=1.1,
)
_PICK = PointTemplate(
    "pick",
    say=(
        "(My|Our) (tip|recommendation|pick) (of|for) the week(:|,| is) {win}(, (don't|never) {lose}|)(, (because|since) {reason}|).",
        "(If|When) (you ask me|in doubt), {win}(, (and not|not) {lose}|).// (I'm not sure|I disagree|Same here)(, (but|and) okay|).",
    ),
    tell=(
        "The recommendation is to {win}.",
        "The recommendation is to {win} rather than {lose}.",
        "The recommendation is to {win} because {reason}.",
    ),
    brief=("Tip: {win}",),
    head=("Tip: {win}",),
    facts=("what:win!", "reason:reason"),
    weight=0.8,
)
REGISTER = Register(
    "podcast", 1.1, (80, 240, 1000), (1, 2), scene=("subject", "product9=product"),
    openings=("(Hello and welcome|Welcome back) to {product9}(, (the|your) (show|podcast) about {subject}|)(. I'm {self}(, and with me is {to}|)|).", "(Hi|Hey) (everyone|folks|listeners), (this is|you're listening to) {product9}(, {self} here|).", "(So|All right), (episode|show) {count9}. (Today|This week)(:|,) {subject}(, {to}, are you ready|)?// (Always|Born ready|Let's go).", "{Subject}(. That's|, that's) (what|all) (we'll|we) talk about (today|this time) on {product9}.", "(Is it|Are we) recording?// (Yes|I think so).// (Great|Okay). (Welcome|Hi) to {product9}, (I'm|my name is) {self}.", "(Good to have you back|Nice to have you here)(, I'm {self}|). (Grab a coffee|Get comfortable), (today|now) it's {subject}."),
    closings=("(That's|This was) (it|our show)(. (Thanks for listening|See you next week)|).", "(Rate us|Tell your friends)(, bye|).// (Bye|Bye bye|Ciao).", "(Write to us|Send us your stories)(, until next time|)."), point_templates=(_STORY, _NEWS, _NOTICE, _PICK, _IDEA, _STUDY, _HISTORY, FAULT, DECISION, *UPDATES), lead_templates=(_STORY, _NEWS, _IDEA, _HISTORY, _STUDY),
    links=("(Moving on|Next up|Speaking of which).", "(Okay, next|And now)."), gists=("The podcast {product9} talks about {subject}.", "A podcast episode about {subject}.", "{Self} hosts a talk about {subject}.", "An episode of {product9}.", "A podcast hosted by {self}."), headlines=("{product9} on {subject}", "Podcast about {subject}"), topics=("{subject}", "Podcast: {product9}"), gist_facts=("what:subject!", "what:product9"), fillers=0.12, chat=0.4,
    asides=("{@smalltalk}", "{@opinion}", "(I love|I hate) (that|this part|mornings)(, honestly|).// (Ha|Me too|We know|Since when).", "(Wait|Hold on|Stop), (what|seriously|say that again)?// (Yes|I swear|I'm not joking).", "(My|Your) (mother|neighbour|old boss) would (love|hate) (this|that)."),
)  # fmt: skip
