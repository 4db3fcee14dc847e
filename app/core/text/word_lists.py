# ruff: noqa: SIM905  (word lists read better as text)
"""Lists of English words that tell names from words that are capitalized for another reason.

A list errs on the side of "no name": a word in it is not reported as an invention.
"""

FUNCTION_WORDS = frozenset(
    "a an the of to in on at by for with from and or but nor so yet is are was were be been being am will would shall "
    "should can could may might must has have had having do does did done it its itself that this these those there "
    "their theirs them they he him his she her hers we us our ours you your yours i me my mine who whom whose which "
    "what when where why how as if into onto over under up down out off about above below after before during until "
    "till since while although though because unless whether than then thus hence also too both either neither each "
    "every all any some many much more most few fewer less least several other others another such same no not none "
    "nobody nothing nowhere never ever always often sometimes usually only just even still already again once twice "
    "now today tomorrow yesterday tonight later earlier soon next last first second third fourth fifth finally "
    "meanwhile however therefore moreover furthermore additionally instead otherwise overall besides despite between "
    "among across against along around behind beside beyond inside outside near toward towards through throughout "
    "within without via per plus one two everyone everybody everything someone somebody something anyone anybody "
    "anything people here let lets please thanks thank yes hello hi hey okay ok well oh".split()
)
# Verbs that open an item of a list, and nouns for what is no name by itself: roles, bodies, places, headings.
GENERIC_WORDS = frozenset(
    "add agree agreed approve arrange ask attend bring book build buy call cancel change check clean clarify close "
    "collect complete confirm contact continue coordinate create decide decided deliver discuss discussed draft email "
    "ensure escalate evaluate file finalize find finish fix follow get give hire hold implement inform inspect "
    "install invite investigate invoice keep launch leave look maintain make meet message monitor move notify offer "
    "open order organize paint pay phone pick plan postpone prepare present provide publish purchase reach remind "
    "remove repair replace reply report request research reschedule resolve return review schedule see sell send set "
    "share ship show sign start stop submit summarize switch take talk tell test text track train transfer turn "
    "update upgrade upload use verify visit wait watch work write "
    "account action actions agenda agent agreement area assistant attendees author bank board body boss branch budget "
    "building bus business caller calls campaign captain center centre chair chairman chairperson chief child church "
    "city class client clinic club coach college colleague committee company conclusion conference context contract "
    "costs council country county course customer data date day deadline decision decisions department designer "
    "details developer director discussion district division doctor driver editor employee engineer event "
    "executive facility family father file finance firm floor garage garden general goal goals government group guest "
    "head headline highlights hospital host hotel house hq hr human idea information interview introduction issue "
    "issues item items job journal key kitchen lab landlord lady law lawyer lead leader lecture legal letter level "
    "library line list location logistics lord lot madam main maintenance management manager market marketing master "
    "matter mayor meeting member members memo message minister minutes miss mister model mother mr mrs ms museum name "
    "network new news note notes nurse objective observation office officer operations operator organization outcome "
    "outcomes overview owner page parent parents park part participants parties party patient payment person phase "
    "phone pilot planning plant plumber point points police policy position president price principal problem "
    "problems procedure process procurement product production professor program programme progress project purpose "
    "quarter question questions reason reasons reception receptionist recommendation recording region reminder "
    "representative resources result results risk risks river road room sales school season secretary section "
    "security seller senior service services session shop sir site situation solution speaker staff stage standard "
    "state station status step steps store street strategy student subject suggestion summary supervisor supplier "
    "support system table task tasks teacher team technical technician technology term time times title tldr tl dr "
    "today topic topics total tour town track trainer training transcript trip unit university unknown user vendor "
    "version vice video village voicemail warehouse way website week weekend weekly winner woman worker workshop "
    "world year years morning afternoon evening night noon midnight spring summer autumn fall winter north south east "
    "west northern southern eastern western internet god earth na n/a tbd dear regards sincerely good great".split()
)
# Abbreviations that a writer uses for what was said in full.
ABBREVIATIONS = frozenset(
    "ac aka am api asap atm av bc ca cc ceo cfo coo cpu cso cto cv dc diy dj dob eg eod eop eta etc eu eur faq fyi gb "
    "gbp gdp gmt gps gpu hr hvac id ie imo inc int ip it iq kg km kpi lan lcd led llc ltd mb mia mp nb ngo nr ok okr "
    "os pa pc pdf phd pin pm po pr pro ps pto qa ram rd rfp roi rsvp sat sms sun suv tba tbc tbd tv uk un url us usa "
    "usb usd utc vat vip vp vpn vs wc wifi www ii iii iv vi vii viii ix xi".split()
)
# Given names that are no other word. A sentence often begins with an invented one, where its capital says nothing.
GIVEN_NAMES = frozenset(
    "aaron adam adrian aisha alan albert alejandro alex alexander alexandra alfred alice alicia alison amanda amelia "
    "amy ana andrea andrew angela anita ann anna anne anthony antonio arthur ashley barbara beatrice ben benjamin "
    "bernard beth betty bob brandon brenda brian bruce bryan caleb cameron carl carla carlos carol caroline catherine "
    "cathy charles charlie charlotte chloe chris christian christina christine christopher cindy claire clara claudia "
    "colin connor craig cynthia daniel danielle darren dave david deborah debra dennis diana diane diego donald donna "
    "dorothy douglas dylan ed eddie edward elaine eleanor elena eli elizabeth ella ellen emily emma eric erica erik "
    "ethan eva evan evelyn fatima felix fiona florence francis francisco fred gabriel gary geoffrey george gerald "
    "gloria gordon greg gregory hannah harold harriet harry heather helen henry howard hugh ian irene isaac isabel "
    "isabella ivan jacob jake james jamie jane janet jason javier jean jeff jeffrey jennifer jenny jeremy jerry "
    "jessica jim jimmy joan joanna joe joel john johnny jonathan jordan jose joseph joshua juan judith judy julia "
    "julian julie justin karen karl kate katherine kathleen kathryn katie keith kelly kenneth kevin kim kyle larry "
    "laura lauren lawrence leah lee leo leon leonard lewis liam linda lisa logan louis louise lucas lucy luis luke "
    "lydia madison marcus margaret maria marie marion mario martha martin mary matt matthew megan melissa michael "
    "michelle miguel mike mohamed mohammed molly monica muhammad nancy naomi natalie natasha nathan neil nicholas "
    "nicole nigel noah nora oliver olivia omar oscar owen pamela patricia patrick paul paula pedro peter philip "
    "phillip phoebe priya rachel ralph ramon raymond rebecca ricardo richard rita roberto robert roger ronald rosa "
    "rosemary roy russell ruth ryan sally sam samantha samuel sandra sara sarah scott sean sebastian sharon sheila "
    "shirley simon sofia sophia sophie stacy stanley stella stephanie stephen steve steven stuart susan sylvia tanya "
    "teresa theodore theresa thomas tim timothy tina todd tom tommy tony tracy tyler valerie vanessa vera veronica "
    "victor victoria vincent virginia walter wayne wendy william yolanda yvonne zachary zoe".split()
)
# Common words of a language that are rare in the others, by which a text's language is told.
LANGUAGE_MARKERS = {
    "en": frozenset(
        "the and of to is was are were with that this for they it he she will be has have not on at".split()
    ),
    "de": frozenset(
        "der die das und ist nicht ein eine den dem mit für von zu auf wird sich im des wurde werden".split()
    ),
    "es": frozenset("el la los las que y es en un una por con para se del al no fue son como más".split()),
    "fr": frozenset("le la les des et est un une que dans pour pas sur du au avec ce qui sont été il elle".split()),
    "it": frozenset("il lo gli che e di è un una per con non sono della nel alla del ha si".split()),
    "nl": frozenset("de het een en van is dat niet met voor zijn op wordt aan er ook naar bij".split()),
    "pt": frozenset("o os as que e de do da em um uma para com não é foi são no na".split()),
}
