# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Lecture: one speaker explains; findings, dates and names from invented history and science, and some course business."""

from training.synth.text.compose import Register
from training.synth.text.script import PointTemplate

_IDEA = PointTemplate(
    "idea",
    say=("(The|A) (key|main|central|first) (idea|point|concept) (here|today|) is (called |)the {term}(, named after {person2}|). (It says that|In short,|Put simply,) {claim}.", "(Now,|So) what do we mean by the {term}? (Well|Basically|In simple words), {claim}.", "{Person} (introduced|proposed|came up with) the {term} in {year}. (The idea is|It says) that {claim}.", "(Please|Do) remember the {term}(:|,) {claim}. (That|This) (comes up again|is important|will be in the exam)."),
    tell=("The {term} says that {claim}.", "The {term}, named after {person2}, says that {claim}.", "The main idea is the {term}: {claim}.", "{Person} proposed the {term} in {year}: {claim}.", "The {term} means that {claim}."), brief=("The {term}: {claim}", "The {term} by {person}, {year}: {claim}"), head=("Lecture on the {term}", "The {term} explained"), facts=("what:term!", "result:claim!", "who:person", "when:year"), weight=2.2,
)  # fmt: skip
_STUDY = PointTemplate(
    "finding",
    say=("In {year}, {person} (followed|studied|tested|measured) {many} {subjects} (for {span}|) and (found|saw|showed) (a change|an effect|a difference) of {pct}.", "(One|A) (famous|well-known|nice) (experiment|study) (was done|comes from) (in|from) {place}(:|, where) {person} (compared|watched) {many} {subjects}, and (about|roughly|only) {pct} (of them |)(changed|responded|improved).", "(Think of|Take) the work of {person}(, around {year}|): (about|some|roughly) {many} {subjects}, (and|with) an effect of {pct}."),
    tell=("In {year}, {person} studied {many} {subjects} and found a change of {pct}.", "{Person} studied {many} {subjects} and found that about {pct} responded.", "Work by {person} on {many} {subjects} showed an effect of {pct}."), brief=("{Person}: {many} {subjects}, {pct}", "{Person}, {year}: {pct} effect"), head=("{Person} and the {many} {subjects}",), facts=("who:person!", "amount:many", "amount:pct!", "when:year"), weight=1.3,
)  # fmt: skip
_HISTORY = PointTemplate(
    "history",
    say=("(It all|The story) (began|starts|goes back) in {year}, when {person} (built|founded|opened|invented) the first {device} in {place}(. It (cost|took) {big}.|.)", "By {year}, there were {many} {device}s in {place}( alone|), (and|which meant) {pct} of the (town|people) (used|depended on) (one|them).", "The (great|big|first) {device} of {place} (was finished|opened|was completed) in {year}(, after {few} years of work|)."),
    tell=("In {year}, {person} built the first {device} in {place}.", "By {year}, {place} had {many} {device}s.", "By {year}, {place} had {many} {device}s, used by {pct} of people.", "The {device} of {place} dates to {year}."), brief=("{Year}: {person} and the first {device} in {place}", "{Year}: the {device} of {place}"), head=("The {device} of {place}",), facts=("when:year!", "who:person!", "where:place", "what:device!", "amount:many", "amount:pct"), weight=1.0,
)  # fmt: skip
_EXAMPLE = PointTemplate(
    "example",
    say=("(Let's take|Here's|Take) an example. (Say|Suppose) {thing} changes by {pct} (every|per) (year|month)(;|:) after {few} (of them|) you (notice|see) it(, don't you|).", "(There are|We distinguish|You get) {few} (kinds|types|stages)(:|,) (the first|one) is {adj}, (the last|another) is {adj2}(, and {adj2} is the (hard|common|interesting) one|)."),
    tell=("As an example, {thing} changes by {pct} a step, visible after {few}.", "As an example, {thing} changes by {pct} a step.", "There are {few} kinds, among them {adj} and {adj2}."), brief=("Example: {thing}, {pct}", "{Few} kinds: {adj}, {adj2}"), facts=("amount:few", "what:adj!", "what:adj2", "what:thing", "amount:pct"), weight=0.8,
)  # fmt: skip
_COURSE = PointTemplate(
    "course",
    say=("(The|Your) (essay|assignment|problem set|lab report) is due (on|by) {day}, (by|at) {time}(, {count} (lines|pages|words) at most|).", "(For next time|Before {weekday}|For {weekday}), (please|) read (chapter|chapters) {chapter}(, and skip the appendix|).", "(The exam|The mid-term|The test) is {when} in {room}(, and it counts for {pct} of (your|the) (grade|mark)|)."),
    tell=("The assignment is due {day} at {time}.", "Students should read chapter {chapter} before {weekday}.", "Students should read chapter {chapter}.", "The exam is {when} in {room}.", "The exam is {when} in {room} and counts for {pct}."), brief=("Assignment due {day} at {time}", "Read chapter {chapter}", "Exam {when}, {room}"), head=("Exam {when}", "Assignment due {day}"), facts=("when:day!", "when:time", "amount:chapter!", "when:when!", "where:room", "amount:pct"), weight=1.0,
)  # fmt: skip
REGISTER = Register(
    "lecture", 1.3, (60, 190, 900), (1, 1), scene=("subject",),
    openings=("(Good morning|Good afternoon|Welcome|Hello everyone)(, welcome back|). (Today|This morning|In this lecture) (we'll|we) (talk about|look at|turn to) {subject}.", "(All right|Okay), (let's begin|settle down please). (Last time|Last week) we (finished|stopped) (early|at the break); (today|now) it's {subject}.", "(So|Now)(,|) {subject}. (Why|Why on earth) should (anyone|we) care(, you may ask|)?", "(Can you hear me at the back|Is the microphone on)? (Good|Great). {Subject}, (that's|is) (the|our) topic (today|for the next {minutes}).", "(Welcome to|This is) (week|lecture) {few} of the course, (on|and the topic is) {subject}.", "(I'm|My name is) (Professor |){person9}, and (I'll|I want to) (tell you|speak) about {subject}."),
    closings=("(That's|This is) (all|where we stop|it) for today. (Questions|Any questions)?", "(See you|We continue) (next time|next week)(. Thank you|).", "(To sum up|In short|So, to conclude), {subject} is (less simple than it looks|worth a second look|still an open field)."),
    point_templates=(_IDEA, _STUDY, _HISTORY, _EXAMPLE, _COURSE), lead_templates=(_IDEA, _IDEA, _HISTORY, _STUDY), links=("(Now|So)(, the next point|).", "(Let me give you some background|A bit of history|Back to the theory).", "(Second|Next slide)(, please|)."), gists=("The lecture is about {subject}.", "A lecture on {subject}.", "The lecturer explains {subject}.", "The lecture introduces {subject}."),
    headlines=("Lecture on {subject}",), topics=("{subject}", "Lecture on {subject}"), gist_facts=("what:subject!",), fillers=0.05, chat=0.35,
    asides=("(You don't have to|No need to) (write|note) (this|that) down(, it's on the slides|).", "(This|That) (sounds|may sound) (strange|obvious|dry)(, I know|), (but|and yet) (bear with me|it matters|wait for it).", "(My|A) (old|former) (teacher|student) used to say(:|,) (look twice|measure first|never trust a round number).", "(Does|Did) (everyone|everybody) (follow|get that)? (Good|Okay|I see some nodding).", "(Textbooks|People|Newspapers) (often|still) get this (wrong|backwards).", "(We'll|We will) (come back to|return to|see more of) {thing} (later|another time)."),
)  # fmt: skip
