# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Word lists for slots that belong to one register: symptoms, drugs, defects, claims, goods … Knows nothing about
sentences.
"""

from training.synth.text.phrase_pools import REMEDIES, SYMPTOMS


def split_phrases(text: str) -> tuple[str, ...]:
    """Return the phrases of a text that semicolons divide, without line breaks."""
    return tuple(" ".join(part.split()) for part in text.split(";") if part.strip())


SLOT_PHRASES: dict[str, tuple[str, ...]] = {
    "symptom": SYMPTOMS,
    "remedy": REMEDIES,
    "next": ("the next shift",),
    "term": split_phrases("feedback loop; hollow rule; anchor effect; second wave principle; law of small gaps; mirror test; slow lens; river model; threshold effect; ladder method; quiet majority; edge paradox; carrier theory; sunk ship fallacy; ripple index; halo curve; drift principle; border rule; echo hypothesis; fading trace; tidal lock; split habit; grain rule; lantern problem"),
    "claim": split_phrases("people change their minds slowly and then all at once; small errors add up faster than large ones; the price follows the expectation, not the cost; plants near a path grow shorter; the first number we hear pulls all later guesses; a system with two controls is safer than one with three; warm water can freeze sooner than cold; memory gets better when we sleep between two sessions; "
                   "a crowd guesses better than any expert in it; traffic grows with the road; heavy users pay the least per unit; the weakest link moves when you fix it; languages lose words at the borders first; old stars spin more slowly; every shortcut costs time later; trade follows rivers rather than roads; birds learn songs from neighbours, not from parents; cheap goods are thrown away sooner; "
                   "metals get stronger when they are bent a little; most of the heat is lost through the roof; rules that nobody checks are forgotten within a year; cities grow along their oldest street"),
    "subjects": split_phrases("students; patients; bees; households; drivers; salmon; villages; twins; oak trees; nurses; children; shops; sheep; letters; volunteers; mice; gardens; bridges"),
    "device": split_phrases("clock tower; canal lock; telegraph; ice house; paper mill; steam pump; observatory; glass works; printing press; lighthouse; cable car; suspension bridge; tram; windmill; aqueduct; weather station"),
    "adj": split_phrases("linear; cyclic; mixed; seasonal; hidden; stable; random; local; shared; passive; elastic; porous; brittle; shallow; dense; partial"),
    "subject": split_phrases("sleep and memory; the history of bridges; how prices are made; bees and their dances; the physics of ice; volcanic soil; the end of the Bronze Age; how vaccines work; city noise; migration of birds; the birth of printing; ocean currents; why we forget names; cooperation among strangers; the chemistry of bread; early photography; measuring poverty; black holes; "
                     "medieval trade; how glaciers move; the psychology of queues; coral reefs; the art of maps; antibiotics; statistics in court; rivers and borders; the sound of languages; solar storms; tea and empire; handwriting"),
    "illness": split_phrases("a chest infection; a hip fracture; chest pain; an asthma attack; a kidney infection; a wrist fracture; pneumonia; a blocked bowel; high blood pressure; a head injury; a leg ulcer; a gallstone; dehydration; a knee replacement; heart failure; a migraine; an allergic reaction; low blood sugar; appendicitis; a urinary infection"),
    "vital": ("Blood pressure is stable", "Temperature went down overnight", "Pain is under control", "Slept well", "Eating and drinking", "Still a bit confused", "Oxygen was reduced", "Stable so far", "A little short of breath", "No fever since yesterday", "Walks with a frame"),
    "drug": split_phrases("the antibiotics; paracetamol; insulin; the blood thinner; morphine; the eye drops; the steroid; the inhaler; potassium; the iron tablet; the antihistamine; ibuprofen; the water tablet"),
    "test": split_phrases("another blood test; a chest x-ray; an ultrasound; a urine sample; an ECG; a CT scan; a swab; a swallowing test; a second scan"),
    "quality": split_phrases("friendly; very clean; fast; excellent; patient; well organised; warm; reliable; generous; simple to use; delicious; spotless"),
    "flaw": split_phrases("overpriced; too small; dirty; cold; late; too loud; confusing; poorly made; too salty; out of order; badly signed"),
    "defect": split_phrases("a hairline crack; rust; damp; a loose handrail; missing insulation; water stains; a broken seal; peeling paint; mould; a blocked drain; an exposed wire; a bent bracket; a missing label; a cracked tile; loose mortar; a gap in the flooring; corrosion; a worn cable; a leaking joint; a missing guard"),
    "sky": split_phrases("rain; snow; sunshine; fog; strong wind; clouds and sun; heavy showers; frost; thunderstorms; drizzle"),
    "utility": split_phrases("water; power; heating; internet; hot water; gas"),
    "cause": split_phrases("a signal failed; a tree fell on the line; a train ahead broke down; the crew is late; engineering works took longer; it snowed heavily; staff are on strike; a door is stuck; the track is flooded; there was an accident; someone was taken ill; the wind is too strong; a switch froze; a lorry hit a bridge"),
    "ground": split_phrases("rising costs; weak demand; high energy prices; a lack of skilled staff; new rules; a poor harvest; falling sales; delays abroad; a strong currency; storm damage; a cyber attack; a strike at the port"),
    "severity": split_phrases("Minor; Serious; Moderate; Urgent; Cosmetic only; Safety relevant"),
    "good": split_phrases("bread; two bottles of wine; charcoal; milk; batteries; the blue tent; candles; napkins; cheese; a cake; apples; paper plates; sunscreen; the board games; olive oil; a folding table; light bulbs; dog food; flour; stamps; wrapping paper; the cool box; coffee; printer ink; lemons; a salad; blankets; rice; tape; the speakers; tomatoes; soap"),
    "event": split_phrases("summer fair; blood drive; book sale; open day; swimming gala; charity run; science fair; parents' evening; harvest supper; fire drill; film night; spring concert; chess tournament; repair café; flu clinic; street party; career day; bake sale; bike check; choir rehearsal; talent show; recycling day; quiz night; flea market; first aid course; carol evening"),
}  # fmt: skip
