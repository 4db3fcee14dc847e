# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Announcement: school, transport, shop, building: what changes, where, when, what to do."""

from training.synth.text.compose import Register
from training.synth.text.point_templates import CHANGE
from training.synth.text.script import PointTemplate

_TRAIN = PointTemplate("train", say=("(The|Passengers for the) {time} (train|service|bus|flight|ferry) to {place}(:|,| from {place2}) (is delayed by|will leave) (about |approximately |){minutes}( late|)(, because {cause}|)(. (It|The service) (now |)(leaves|departs) from (platform|gate|stop) {plat}.|.)", "(Platform|Gate) (change|alteration)(:|.) the {time} (train |service |flight |)to {place} (now |)(departs|leaves) from (platform|gate|stop) {plat}(, not {plat2}|).", "The {time} (train|service|bus) to {place} (has been|is) cancelled( today|)(, because {cause}|). (Please (take|use)|Passengers should take) the {time2}( from (platform|stop) {plat3}|)."),
                tell=("The {time} service to {place} is delayed by {minutes}.", "The {time} service to {place} is delayed by {minutes} and leaves from {plat}.", "The {time} service to {place} is delayed by {minutes} because {cause}.", "The {time} service to {place} now leaves from {plat}.", "The {time} service to {place} is cancelled; passengers should take the {time2}.", "The {time} to {place} is cancelled because {cause}; the {time2} can be used instead."), brief=("{Time} to {place}: {minutes} late", "{Time} to {place}: now from {plat}", "{Time} to {place} cancelled, use {time2}"), head=("{Time} to {place} delayed by {minutes}", "{Time} to {place} moves to {plat}", "{Time} to {place} cancelled"), facts=("what:time+place!", "amount:minutes!", "amount:plat!", "when:time2!", "reason:cause"), weight=0.9)  # fmt: skip
_EVENT = PointTemplate("event", say=("(The|This year's|Our) {event} (takes place|is|will be held|starts) {when}( in {room}|)(. (Tickets|Entry|It) (cost|costs|is) {cash}.|.)", "(Join us|Come along|You are invited) {when} (for|to) (the|our) {event}( in {room}|)(, (sign up|register) (by|before) {day3}|).", "(Because|Since) {reason}, the {event} (has been|is) (moved|postponed) (from {weekday} |)to {day}(, (same time|same place|now in {room})|).", "(Registration|Sign-up) for the {event} (closes|ends) {when2}(, (only|there are) {count} places( left|)|)."),
                tell=("The {event} is {when} in {room}.", "The {event} takes place {when}.", "The {event} takes place {when}, with tickets at {cash}.", "The {event} is {when}; register by {day3}.", "The {event} has moved to {day} because {reason}.", "The {event} has moved to {day}.", "Registration for the {event} closes {when2}.", "Registration for the {event} closes {when2}, with {count} places."), brief=("{Event} {when}", "{Event}: {when}, {room}", "{Event} moved to {day}", "{Event}: sign-up closes {when2}"), head=("{Event} {when}", "{Event} moved to {day}"), facts=("what:event!", "when:when!", "where:room", "amount:cash", "when:day!", "when:day3", "when:when2!", "amount:count", "reason:reason"), weight=1.8)  # fmt: skip
_CLOSED = PointTemplate(
    "closed",
    say=(
        "{Spot} (will be|is) closed (from {day} (until|to) {day2}|{when})(, because {reason}|, (for|due to) (repairs|cleaning|maintenance)|)(. Please use {spot2}.|. Use {spot2} instead.|.)",
        "(Please note|Attention)(:|,) (there will be|there is) no {utility} (in {spot4} |){when4} (from|between) {time} (to|and) {time2}.",
        "(New|Changed) opening hours(:|,) from {day} {spot} (is|will be) open (from|) {time} to {time2}.",
    ),
    tell=(
        "{Spot} is closed from {day} to {day2}.",
        "{Spot} is closed from {day} to {day2} because {reason}.",
        "{Spot} is closed {when}.",
        "{Spot} is closed {when}; use {spot2}.",
        "{Spot4} will be without {utility} {when4} from {time} to {time2}.",
        "There will be no {utility} {when4} from {time} to {time2}.",
        "From {day}, {spot} is open from {time} to {time2}.",
    ),
    brief=(
        "{Spot} closed {day} to {day2}",
        "{Spot} closed {when}",
        "{Spot}: {time} to {time2} from {day}",
        "No {utility} {when4}, {time} to {time2}",
    ),
    head=("{Spot} closed {when}", "{Spot} closed from {day}"),
    facts=(
        "where:spot!",
        "what:utility!",
        "where:spot4",
        "when:when!",
        "when:when4!",
        "when:day!",
        "when:day2",
        "when:time",
        "when:time2",
        "reason:reason",
        "where:spot2",
    ),
    weight=1.4,
)
_ASK = PointTemplate(
    "request",
    say=(
        "(Please|Everyone is asked to|All visitors must|We ask you to) {act} {due}(, because {reason}|).",
        "(If you|Anyone who) (want|wants|would like) to help( with {topic}|)(, (please |)(contact|speak to|call)|: call) {person}( (on|at) {phone}|)(, {due}|).",
        "(Would|Could) {person} (please |)(come|go|report) to {room}( (immediately|at once)|).",
    ),
    tell=(
        "Everyone is asked to {act} {due}.",
        "Everyone is asked to {act} {due} because {reason}.",
        "Helpers should contact {person}.",
        "Helpers should contact {person} at {phone}.",
        "Helpers for {topic} should contact {person} at {phone}.",
        "{Person} is asked to come to {room}.",
    ),
    brief=("{Act} {due}", "Helpers: {person}", "Helpers: {person}, {phone}", "{Person} to {room}"),
    head=("Please {act} {due}",),
    facts=("action:act!", "when:due!", "who:person!", "amount:phone", "where:room"),
    weight=1.4,
)
REGISTER = Register(
    "announcement", 1.5, (20, 60, 200), (1, 1), scene=("org", "place"),
    openings=("(Attention|Attention please|Your attention, please|May I have your attention).", "(Good morning|Good afternoon|Hello) (everyone|students and staff|residents|passengers|ladies and gentlemen|visitors)(, (an announcement|some announcements|a short notice)|).", "(This is|Here is) (an announcement|a message|a notice) (from|by) {org}.", "(Dear|Good evening,) (guests|parents|neighbours|members|travellers)(, (thank you for|please) (listening|a moment)|).", "(Welcome to|Hello from) {place}.", "(A few|Some|Two) (notices|announcements) (for|) (this|the) (week|day|afternoon)."),
    closings=("(Thank you|Thank you for your (attention|patience|understanding)).", "(We apologise|We're sorry) for (the|any) (inconvenience|trouble).", "(Have a (nice|good|safe) (day|evening|journey|week)).", "(More|Further) (information|details) (at the desk|on the website|on the notice board)."), point_templates=(_EVENT, _CLOSED, _ASK, CHANGE), lead_templates=(_EVENT, _CLOSED, _ASK, _TRAIN, _TRAIN),
    links=("(Also|Next|Furthermore).", "(And finally|One more thing)."), gists=("An announcement from {org}.", "A public announcement."), topics=("Announcement",), fillers=0.01, chat=0.25, asides=("(Staff|Our team|The office) (will|is) (be |)(happy|glad) to help(, as always|).", "(We know|We understand) (this is annoying|plans change).", "(I repeat|Again)(,|:) (please listen carefully|this is important).", "(Keep|Please keep) (the noise down|the doors clear|calm)."),
)  # fmt: skip
