# ruff: noqa: E501  (templates are data: one a line reads better than wrapped)
"""Phrases shared by all registers: reactions, hedges, small talk, opinions that hold no fact. Knows nothing about slots beyond
`topic` and `thing`.
"""

POOLS: dict[str, tuple[str, ...]] = {
    "ok": ("sure", "yeah", "okay", "no problem", "will do", "of course", "yep", "fine by me", "happy to", "all right", "sounds good", "yeah, I can do that", "that works"),
    "react": (
        "(Okay|Right|Got it|Mm-hmm|Sure|All right|Good|Great|Fair enough|Makes sense|Understood|Perfect|Noted).", "(Yeah|Yes), (that makes sense|I think so too|absolutely|that's right|okay|fair).",
        "Okay, (thanks|thank you|good to know|cool|I've got that).", "(Oh|Ah), (I see|okay|right|no|really|that's good to hear).", "Thanks (for that|for the update|for flagging it|).",
        "I (was (just |)(going|about) to say (the same|that|exactly that)|had the same (thought|idea|question)|agree|can live with (that|this)|think (that's right|so too)|hope so|wondered about that)(, actually|, to be fair|, yes|).", "(Really|Honestly|Seriously)? (Fine|Okay|Good) (by me|with me|for me)(, then|).", "(Let me|I'll) (write|note) that (down|here)(.|, one second.)", "(That|It) (fits|adds up|sounds about right)(, I think|, yes|).", "(Hm|Hmm), (okay|let me think|interesting|(I wasn't aware of that|I hadn't heard|news to me|that's new to me|I missed that)(, sorry|)).", "That's (helpful|good news|a pity|annoying|fine|fair|what I heard too).",
    ),
    "opinion": (
        "(Honestly|To be honest|Frankly), {topic} (has been|was|is) (a bit of a|quite a|a real) (headache|challenge|learning curve|long story).", "I (know|realise|realize|understand) (everyone|everybody) is (pretty |) (busy|stretched|tired) (right now|at the moment|these days).",
        "It's not (ideal|perfect|the end of the world|a disaster), but (we'll manage|we'll get there|I think it's fine|it could be worse|it is what it is).", "I (was thinking|kept thinking|have been thinking) about (that|this|it) (on the way in|the other night|for a while), and (I don't have a better answer|I think it's the right way|it still bothers me a little).",
        "(Anyway|In any case), (that's the gist of it|that's where it stands|that's how it is|you get the idea).", "(We|Some of us) (talked|went back and forth|argued) about {topic} (before|a lot|for ages), (but there's nothing new there|so I won't repeat it|and that's all there is to say).",
        "I (don't|do not) want to (go into|get into|dwell on) all the (details|background) (here|now|today).", "(It's|That's) (the usual|the same old) story(, really|, I guess|).", "(I hope|Hopefully) (that's|that is|it's) clear (enough|so far|).",
        "(Maybe|Perhaps) we (could|should) have (seen|noticed) (it|that) (coming|earlier|sooner), (but well|who knows|I don't know).", "(The weather|The traffic|Parking) (didn't help|has been awful|was terrible) (either|today|this morning|, as always).",
        "(I'm not sure|I can't say|Nobody knows|It's hard to say) (whether|if) that (will|would) (change|matter|make a difference) (much|in the end|).", "(People|Folks) (seem|are) (mostly|generally|pretty) (happy|positive|relaxed) about {topic}(, at least so far|, I think|).",
        "(I'd|I would) (love|like) to see {topic} (behind us|done properly|get more attention), but (that's just me|one thing at a time|we'll see).", "(Remember|You remember) (how|the way) (it was|things were) (before|in the old days|last time)(, right|)?", "(Let's|We'll) (not worry|talk more|come back) about that (some other time|now|later).",
        "(It|That) (took|takes) (longer|more effort) than (anyone|I|we) (thought|expected|planned), (as usual|of course|but okay).", "(Sorry|Excuse me), (my phone is buzzing|I lost my train of thought|there's a lot of noise here|let me just find my notes).",
        "And (thanks|thank you) (again|) (to|for) (everyone who helped|all the hard work|your patience|bearing with us).", "As for {thing}, (there's nothing new|no news there|I have nothing to add|nothing has changed).",
    ),
    "smalltalk": (
        "(Did|How did) (you|anyone|everyone) (have a good weekend|get any sleep|survive the weekend|catch the game)?// (Yeah|Not bad|Can't complain|Oh), (it was quiet|mostly slept|we just stayed in|just gardening|too short as always).",
        "(Is it|Is that) just me, or is it (freezing|boiling|really loud) in here?// (Yeah|It is), (the heating's been odd|someone opened a window|they're drilling next door).", "(Hang on|Wait|Sorry), (I think you're on mute|your audio is breaking up|I can't see the slide)(.|, can you say that again?)// (Oh, sorry|Better now|Is that better|Okay), (now|can you hear me)?// Yes(, go ahead|, much better|).",
        "(Who made|Did anyone make) coffee?// (There's|I think there's) (some|a pot) (in the kitchen|left|by the window).", "(I|I've) (love|had) (that|the) (mug|same backpack|picture behind you), by the way.// (Ha|Oh|Thanks), (it was a gift|my kids picked it|it's old).",
        "(The|That) (train|bus|drive) (was|in was) (packed|awful|slow) (again|today).// (Tell me about it|Same here|Always is).", "(Anyway|Okay), (enough about that|back to it|let's move on|where were we).", "(Sorry|Hey, sorry) I'm late(, I couldn't find the room|, the last call ran over|).// (No (worries|problem)|Don't worry|All good), (we (just|only just) (started|sat down)|you missed nothing|take a seat).",
        "(Can|Could) (everyone|you all) see (my|the) screen?// (Yes|Yep|We can)(, looks good|, all good|).", "(My|Our) (dog|cat|neighbour) is (going crazy|making noise) (in the background|outside), (sorry|ignore that).",
    ),
    "discuss": (
        "(I think|I feel like|My sense is) (we|we all) (need|ought) to (be careful|be realistic|keep it simple) (with|about|on) {topic}.// (Agreed|Yeah|True), (but|and) (we can't wait forever|the basics are there|it depends on the people|I'd keep an open mind).",
        "Has anyone looked (at|into) {thing} (lately|recently|at all)?// (A bit|Briefly|Not really), (it looks fine|nothing unusual|I didn't see any change|it's on the list somewhere).",
        "(What|And what) (about|happens with) {thing}?// (I don't think) (that|it) (affects us|is a problem|matters here)(, not right now|, to be honest|).// (Okay, good|Fair|Fine).",
        "(Can|Could) (someone|you) (explain|remind me) (how|why) that (came up|works|came about)?// (Well|So|Basically), it (came up a while back|grew over time|started with a small request), and (then it snowballed|here we are|nobody stopped it).",
        "(I worry|I'm a bit worried|My concern is) (that|) (we spread ourselves too thin|we forget the small things|people get confused).// (I hear you|That's fair|I get that|Sure|True), (but |)(we've handled (worse|bigger things)|we'll (keep an eye on it|watch it|manage)|let's (see|wait and see)( how it goes|)|that (happens|sorts itself out)).",
        "(In|From) my experience(,| here,) (these things|things like that|such things|projects like this) take (time|patience|a few rounds).// (Yeah|Right|Exactly), (and|but) (rushing|pushing) (won't help|only makes it worse|gets us nowhere).",
    ),
}  # fmt: skip

SYMPTOMS = (
    "it won't turn on", "it keeps switching itself off", "the screen is cracked", "it makes a grinding noise", "the battery dies after an hour", "it will not connect to the network", "one of the wheels is missing", "it leaks at the back", "the lid does not close",
    "the wrong colour was in the box", "it smells of burning", "it shows error 24", "the remote does nothing", "the sound cuts out", "it freezes at the start", "the zip is broken", "it was delivered to the wrong address", "half of the parts are missing", "it gets far too hot",
    "the app keeps logging me out", "the door will not lock", "the water stays cold", "it prints blank pages", "the charger does not fit", "the picture flickers", "it beeps all night", "the handle came off", "the password reset never arrives",
)
REMEDIES = (
    "restart it", "unplug it for a minute", "reinstall the app", "reset the router", "hold the power button down", "use the other cable", "update the software", "change the batteries", "clean the filter", "check the fuse", "press the small button at the back", "delete the old account", "log in through the website", "tighten the two screws",
    "move it closer to the window", "turn off the main switch", "run the self-test", "take out the memory card", "clear the cache", "check the spam folder", "enter the serial number again", "drain the tank", "swap the cartridge",
)
