# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Incident review: what happened when, why, what it cost, what changes."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import ACTION, CHANGE, DECISION, MEET, OPEN, THIRD
from training.synth.text.script import PointTemplate

_WHAT = PointTemplate("timeline", at_most_once=True, say=("(At|It started at|Around) {time}(, on {weekday},| on {weekday}|) {fault}. (Nobody|We didn't|No one) (noticed|saw it)? (until|before) {time2}(, when {third} (called|raised the alarm)|).".replace("(noticed|saw it)?", "noticed").replace("We didn't", "None of us"), "(What happened|So what happened)?// (On {weekday}|{Past})(,|) {fault}(. (We|The team) (reacted|got there|found it) (after|within) {minutes}|)(, {who} (took|made) the call|).", "(The timeline|In short)(:|,) {time}, {fault}(;|, then) {time2}, {who} (stopped|shut down|closed) {thing}; (and by|at) {time3} (everything|it) was back(, so {minutes} in total|)."),
               tell=("At {time}, {fault}.", "At {time} {fault}, noticed only at {time2} by {third}.", "At {time} {fault}, and it was noticed at {time2}.", "{Fault}.", "{Past}, {fault}; the team reacted within {minutes}.", "{Fault} {past}.", "{Fault} on {weekday}, and the team reacted after {minutes}.", "At {time} {fault}; {who} stopped {thing} at {time2}, and it was back by {time3}."), brief=("{Time}: {fault}", "{Fault}"), head=("{Fault}",), facts=("problem:fault!", "when:time!", "when:weekday", "when:time2", "when:time3", "amount:minutes", "who:who", "who:third"), weight=0.6)  # fmt: skip
_CAUSE = PointTemplate(
    "cause",
    at_most_once=True,
    say=(
        "(The root cause|The reason|Why it happened)(:|, simply:) {reason}(, and {thing} (made it worse|was never checked|had no alarm)|).".replace(
            "(:|, simply:)", " was that"
        ),
        "(Why|How could that happen)?// (Because|Well, because) {reason}(. (It's|That's) what {third} (found|wrote|told us)|).",
        "(First|At first) we (thought|suspected|blamed) {thing2}, but (it was|no, it was|the real cause was) {thing}(, {reason}|).",
    ),
    tell=(
        "The cause was that {reason}.",
        "The cause was that {reason}, according to {third}.",
        "The cause was that {reason}, and {thing} made it worse.",
        "The cause was {thing}, not {thing2}.",
        "The cause was {thing}, not {thing2}, because {reason}.",
    ),
    brief=("Cause: {reason}", "Cause: {thing}, not {thing2}"),
    head=("Incident caused by {thing}",),
    facts=("reason:reason!", "problem:thing!", "who:third"),
    weight=1.6,
)
_IMPACT = PointTemplate(
    "impact",
    at_most_once=True,
    say=(
        "(Impact|Damage)(:|,) {many} (customers|people|orders|users) (affected|were affected)(,| and) (about |){money} (lost|in damage|of damage)(, {few} complaints|).",
        "(It|That|All of this) cost us {money}(, and {minutes} of (downtime|standing still)|).",
        "(How bad|How many) (was it|were hit|people were affected)?// {Many}(, (that's|about) {pct} of (all|the total)|)(. Nobody was hurt|).",
        "(No one|Nobody) was (hurt|injured)(, but|, though) {thing} (has to|must) be replaced(, {money}|).",
    ),
    tell=(
        "{Many} were affected, with a loss of {money}.",
        "It cost {money}.",
        "It cost {money} and {minutes} of downtime.",
        "About {many} were affected.",
        "{Many} were affected, or {pct} of the total.",
        "Nobody was hurt, but {thing} must be replaced.",
        "Nobody was hurt, but {thing} must be replaced for {money}.",
    ),
    brief=("Affected: {many}; cost {money}", "Cost: {money}", "Affected: {many}", "{Thing} must be replaced"),
    head=("Incident costs {money}", "Incident affects {many}"),
    facts=("amount:many!", "amount:money!", "amount:minutes", "amount:pct", "what:thing!"),
    weight=1.6,
)
_WELL = PointTemplate(
    "lesson",
    say=(
        "(What went well|On the bright side)(:|,) {who} (reacted|called|acted) within {minutes}(, thanks|).",
        "(Lesson|What we learned)(:|,) {act} (every {weekday}|before, not after)(,|) (always|no exceptions).".replace(
            "(every {weekday}|before, not after)", "every {weekday}"
        ),
        "(The|Our) (alarm|backup|checklist) (worked|did its job), (but|only) {thing} was (missing|not on it).",
    ),
    tell=(
        "{Who} reacted within {minutes}.",
        "The lesson is to {act} every {weekday}.",
        "The safeguards worked, but {thing} was missing.",
    ),
    brief=("{Who} reacted within {minutes}", "Lesson: {act} every {weekday}"),
    facts=("who:who", "amount:minutes", "what:act!", "what:thing"),
    weight=0.8,
)
REGISTER = Register(
    "incident", 1.3, (60, 190, 700), (1, 4), scene=("spot", "date", "topic"), openings=("(This is|Welcome to|Let's start) the (review|post-mortem|debrief) (of|on) (what happened|the incident)( in {spot}|)( on {date}|). (No blame|It's not about blame)(, please|).", "(Okay|Right|So), (the incident|what happened)( in {spot}|)( on {date}|)(, let's (go through it|reconstruct it)|).", "{Self} (speaking|here)(, incident report|), {spot}(, {date}|).", "(Thanks for coming|Hi all). (We want to|Let's) (understand|look at) {date}(, {spot}|).", "(Incident review|Debrief)(,|:) {spot}, {date}.", "(Everybody|You) (heard|knows) about {spot}(, I guess|). (Facts first|Let's hear the facts)."),
    closings=("(That's|This is) (the report|all)(. (Thanks|Stay safe)|).", "(Anything to add|Did we miss anything)?// (No|I think that's it).// (Thanks, all|Then we close it).", "(I'll|I will) write (this|it) up."), point_templates=(_CAUSE, _IMPACT, _WELL, _WHAT, ACTION, DECISION, CHANGE, MEET, OPEN, THIRD), lead_templates=(_WHAT,), links=("(Next|Then|So).", "(The follow-up|What now|And the consequences)?"),
    gists=("A review of the incident in {spot} on {date}.", "The incident in {spot} was reviewed.", "{Self} reports on the incident in {spot}."), headlines=("Incident in {spot} reviewed",), topics=("Incident in {spot}", "Incident on {date}"), gist_facts=("where:spot",), fillers=0.06, chat=0.3, asides=("{@opinion}", "(It|This) (could|might) have been (much |)worse.", "(Nobody|No one) (did|does) (this|that) on purpose(, just to be clear|).", "{@react}"),
)  # fmt: skip
