"""Abbreviations and words of chat that GloVe 6B (2014, newspapers) lacks or knows as other things.

"smh" is a newspaper there, "gn" a company. Each is read as the words that it stands for.
"""

STANDS_FOR: dict[str, tuple[str, ...]] = {
    written: tuple(words.split())
    for written, words in {
        # laughing
        "lmao": "laughing so hard", "lmfao": "laughing so hard", "rofl": "laughing so hard",
        "roflmao": "laughing so hard", "lolz": "lol", "lols": "lol", "hahah": "haha",
        "hahaha": "haha haha", "hahahah": "haha haha", "hahahaha": "haha haha",
        "hehehe": "haha", "ahahaha": "haha haha", "deadass": "seriously",
        # whole phrases
        "omfg": "omg", "idk": "i do n't know", "idc": "i do n't care", "ikr": "i know right",
        "imo": "in my opinion", "imho": "in my opinion", "tbh": "to be honest",
        "ngl": "not going to lie", "fyi": "for your information", "asap": "as soon as possible",
        "brb": "be right back", "bbl": "be back later", "gtg": "got to go", "g2g": "got to go",
        "ttyl": "talk to you later", "omw": "on my way", "otw": "on the way",
        "nvm": "never mind", "smh": "shaking my head", "fml": "my life is terrible",
        "fomo": "fear of missing out", "yolo": "you only live once", "tgif": "thank god friday",
        "tbt": "throwback thursday", "ootd": "outfit of the day", "hmu": "call me",
        "afk": "away from keyboard", "tmi": "too much information", "tldr": "too long",
        "idgaf": "i do n't care", "stfu": "shut up", "gtfo": "get out", "ffs": "damn it",
        "wbu": "what about you", "hbu": "how about you", "hru": "how are you",
        "wyd": "what are you doing", "wya": "where are you", "iykyk": "if you know",
        "ikyk": "i know you know", "tfw": "that feeling when", "mfw": "my face when",
        "fwiw": "for what it is worth", "wfh": "working from home", "eod": "end of the day",
        "lgtm": "looks good to me", "tbd": "to be decided", "tba": "to be announced",
        "wth": "what the hell", "glhf": "good luck have fun", "irl": "in real life",
        "bfn": "bye for now", "jk": "just kidding", "np": "no problem", "ofc": "of course",
        "dm": "message", "dms": "messages", "istg": "i swear", "icymi": "in case you missed it",
        "fwb": "friends with benefits", "gf": "girlfriend", "bf": "boyfriend", "nbd": "no big deal",
        # thanks, please, wishes
        "ty": "thank you", "tysm": "thank you so much", "thx": "thanks", "thnx": "thanks",
        "thanx": "thanks", "tks": "thanks", "tnx": "thanks", "yw": "you 're welcome",
        "pls": "please", "plz": "please", "plss": "please", "hbd": "happy birthday",
        "bday": "birthday", "gm": "good morning", "gn": "good night", "congratz": "congratulations",
        "congrats": "congratulations", "grats": "congratulations", "ily": "i love you",
        "ilysm": "i love you so much", "ilu": "i love you", "xoxo": "hugs kisses",
        "gg": "good game", "gz": "congratulations", "gl": "good luck", "grtz": "greetings",
        # letters and digits
        "u": "you", "ur": "your", "r": "are", "rn": "right now", "atm": "at the moment",
        "cuz": "because", "coz": "because", "bc": "because", "cos": "because", "b4": "before",
        "gr8": "great", "l8r": "later", "l8": "late", "m8": "mate", "2moro": "tomorrow",
        "tmrw": "tomorrow", "tmr": "tomorrow", "tomoz": "tomorrow", "tonite": "tonight",
        "2nite": "tonight", "2night": "tonight", "2day": "today", "nite": "night",
        "thru": "through",
        "tho": "though", "dunno": "do n't know", "gonna": "going to", "wanna": "want to",
        "gotta": "got to", "gimme": "give me", "lemme": "let me", "finna": "going to",
        "imma": "i will", "sorta": "sort of", "kinda": "kind of", "outta": "out of",
        "yall": "you all", "y'all": "you all", "luv": "love", "prob": "probably",
        "probs": "probably", "def": "definitely", "defs": "definitely", "defo": "definitely",
        "deffo": "definitely", "obvs": "obviously", "obv": "obviously", "totes": "totally",
        "legit": "really", "srsly": "seriously", "abt": "about", "ppl": "people",
        "fave": "favourite", "fav": "favourite", "faves": "favourites",
        "vacay": "vacation", "hols": "holidays", "uni": "university", "hoco": "homecoming",
        # feelings and people
        "ugh": "disgusted", "argh": "angry", "grr": "angry", "eww": "disgusting",
        "ew": "disgusting", "yuck": "disgusting", "ick": "disgusting", "yay": "hooray",
        "yippee": "hooray", "woohoo": "hooray", "woot": "hooray", "wassup": "what 's up",
        "bff": "best friend", "bffs": "best friends", "bestie": "best friend",
        "besties": "best friends", "bruv": "brother", "doggo": "dog", "doggos": "dogs",
        "pupper": "puppy", "kitteh": "kitten", "smol": "small", "hangry": "hungry angry",
        "lowkey": "secretly", "highkey": "really", "cringey": "embarrassing",
        "cringy": "embarrassing", "rizz": "charm", "yeet": "throw", "vibing": "relaxing",
        "vibin": "relaxing", "sus": "suspicious", "slay": "fabulous", "slayed": "fabulous",
        "slaying": "fabulous", "chuffed": "delighted", "gutted": "devastated",
        "knackered": "exhausted", "skint": "penniless", "innit": "is n't it",
        "delulu": "delusional", "uwu": "cute", "preggers": "pregnant", "prego": "pregnant",
        # things
        "selfie": "photo of myself", "selfies": "photos of ourselves", "emoji": "smiley",
        "emojis": "smileys", "hashtag": "tweet", "chatbot": "chat robot",
        "brexit": "britain leaving",
        "covid": "virus pandemic", "tiktok": "video app", "insta": "instagram", "ig": "instagram",
        "brolly": "umbrella", "cuppa": "cup of tea", "telly": "television",
        "lockdown": "quarantine",
        "wifi": "wi-fi", "gyoza": "dumplings",
    }.items()
}  # fmt: skip
