"""How chat models deny, decide, count up and change their minds, as regular expressions.

What a reply quotes stands in these texts as one character of ``QUOTE``, whatever is in the quotes.
"""

from __future__ import annotations

import re

QUOTE = "[\ue000-\uf8ff]"
"""Stands for something quoted: characters that no language uses."""

DENIAL = re.compile(
    r"\b(no|not|none|neither|nor|never|cannot|nothing|without|unlike|unrelated|lacks?|different"
    r"|fails?|unable|hardly|less|wrong|incorrect|avoid|outside|beyond"
    r"|absent|missing|impossible|unclear|ambiguous|dissimilar|unsuitable|inappropriate|irrelevant"
    r"|invalid|unmatched|zero|mismatch(?:es|ed)?|false|ruled? out|rules out|seems? off"
    r"|(?:in|im|un|ir|dis|mis|non-?)(?:accura|suffic|plausib|prob|proper|convinc|compar|compat|"
    r"connect|correct|fit|just|known|lead|like|list|match|reason|relat|similar|sure|true|warrant)\w*"
    r"|declin\w+|reject\w*|dismiss\w*|discard\w*|eliminat\w+|refus\w+|exclud\w+"
    r"|rul\w+ .*out|doubt\w*"
    r"|questionable|difficult|hard to|whether|far from|distinct|separate|opposite|mistaken?|error"
    r"|stretch|poor\w*|weak\w*|loose\w*|scarcely|barely|seldom|rarely|remotely"
    r"|(?<!a )(?:little|few)"
    r"|if (?:it|this|that|they)|only if|were|would have to|wonder|tempted|arbitrary"
    r"|one (?:might|could)"
    r"|more (?:context|information|details?)|provide|clarify|too \w+"
    r"|(?:is|does|do|ca)nt|kein\w*|nicht|nichts|weder|geen|niet|aucune?|ni|pas|non"
    r"|ning[u\u00fa]n[oa]?|tampoco|nessun\w*|nenhum\w*|n\u00e3o|nie|\u017cad\w*|ikke|inte|ingen|hi\u00e7bir\w*"
    r"|de\u011fil)\b|n't\b|\brather than\b|\binstead of\b|\bother than\b"
    r"|\b(?:\u043d\u0435|\u043d\u0438|\u043d\u0435\u0442)\b"  # Russian
    r"|\u6ca1\u6709|\u4e0d|\u7121|\u65e0|\u975e|\u306a\u3044|\u307e\u305b\u3093|\uc5c6|\uc544\ub2c8"
    r"|[\u274c\u2717\u2718\u2716\u00d7\u2260\u2205]|!=|[\U0001f6ab\U0001f44e]",
    re.IGNORECASE,
)
"""What a clause says that denies, in the languages that models slip into, too."""

SURELY = re.compile(
    r"\b(no doubt|without (?:a |any )?(?:doubt|question)|undoubtedly|no question|not only"
    r"|(?:none|no|nothing) other than|nothing but|no (?:problem|worries|explanation)"
    r"(?: (?:is )?(?:needed|necessary|required))?)\b",
    re.IGNORECASE,
)
"""What sounds like a denial and is none."""

ENDS = re.compile(rf"{QUOTE}\W*$")

GOVERNED = re.compile(
    rf"(?:\b(?:no|not|never|cannot|than|instead of)|n't)\s(?:\w+\s){{0,3}}\W?{QUOTE}", re.IGNORECASE
)
"""A denial that is about what is quoted."""

RETRACTION = re.compile(
    r"^\W*(?:(?:but|actually|wait|however|hmm|and|though|yet|oh|well|still)\W+)*"
    r"(?:no|nope|never ?mind|scratch that|i take (?:it|that) back"
    r"|(?:this|that|it)(?: is|'s| would be) (?:false|wrong|incorrect|a mistake|not \w+))\W*$",
    re.IGNORECASE,
)
"""A clause that takes back what was said before it."""

WHOLESALE = re.compile(
    r"\b(none|neither|nothing|no (?:\w+ )?(?:class|category|match|option|one)|kein\w*|aucune?"
    r"|ning[u\u00fa]n[oa]?|nessun\w*|nenhum\w*)\b|\u6ca1\u6709|\u90fd\u4e0d",
    re.IGNORECASE,
)
"""What takes back a list of names before it, unless it speaks of ``OTHERS``."""

OTHERS = re.compile(
    r"\b(others?|else|another|remaining|rest|exact|exactly|perfect|direct|closer|better|nearer"
    r"|more|andere\w*|autres?|otr[oa]s?)\b",
    re.IGNORECASE,
)

REVISION = re.compile(
    r"\banswer\b|\bgo with\b|\bon second thought\b"
    r"|\b(better|closer|nearer|actually|correction|instead)\b"
    r"|\bmore (similar|likely|accurate|appropriate|suitable|fitting)\b"
    r"|^\W*(but|however|yet|wait|hmm|aber|sondern|mais|pero|sino|ma|maar)\b.*\b(closest|nearest"
    r"|best|most|final|correct)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a clause with one name says that takes the place of the names before it."""

CHOICE = re.compile(
    r"\b(closest|closer|nearest|nearer|most|best|better|answer|choose|choice|pick|say|select"
    r"|go with|must be|it.s|it is|but|thus|so(?! can| do| is| are)|therefore|hence|however|final"
    r"|right|correct|maps?|mapped|yes|resembles|rather(?! than)"
    r"|sondern|aber|antwort|respuesta|r\u00e9ponse|mais|sino"
    r"|pero|maar|oui|s\u00ed)\b"
    r"|[\u2705\u2713\u2714]|\u7b54\u6848|^\W*$",
    re.IGNORECASE,
)
"""What a clause says that decides, where the reply has denied something before: or nothing else."""

ASSENT = re.compile(
    r"\b(similar\w*|alike|close|fit|fits|fitting|means?|same|synonym\w*|equals?|equivalent\w*"
    r"|correspond\w*|belongs?|falls? (?:in|under)\w*|(?:known|seen) as|called|resembl\w+"
    r"|(?:kind|type|form|sort|variety|example|instance)s? of|(?:word|name|term|looking) for"
    r"|refers? to|represents?|guess|think|believe|conclude|decide|suggest\w*|consider\w*"
    r"|classif\w+|categori[sz]ed?|assigned|relate[sd]?|probabl[ey]|possibly|perhaps|maybe|likely"
    r"|definitely|certainly|surely|clearly|obviously|sure|okay|of course|here (?:you go|it is)"
    r"|(?:would|could|may|might|should|can) be|appears?|seems?|suitable|appropriate|accurate"
    r"|exact|plausible|reasonable|works|applies|class|category|label|match(?:es)?"
    r"|prediction|result|output|response|reply|solution|verdict)\b"
    rf"|\b(?:is|are|be|s|like|ist|est|es|e|\u00e8|\u00e9)\s+(?:\w+\s){{0,3}}\W*{QUOTE}"
    rf"|[=\u2248\u2192]|->|[\u662f\u4e3a]\W*{QUOTE}",
    re.IGNORECASE,
)
"""What a clause says whose name counts where nothing was denied."""

ANNOUNCES = re.compile(rf"^(?P<before>[^\n]*\w)(?P<mark>[^\w\s]+)\W*{QUOTE}\W*$")
"""A clause that ends with a name, and something before it that is no part of its sentence."""

HEADS = re.compile(rf"^\W*{QUOTE}\W*[-:,(\u2013\u2014]")
"""A clause that gives a name, and then explains it."""

EXAMPLE = re.compile(
    r"\b(for (?:example|instance)|e\.g|such as|like|namely|say)\W*$", re.IGNORECASE
)
"""What announces an example and no answer."""

LIST = re.compile(
    r"\b(class(es)?|category|categories|options?|list(ed)?|choices|given|such as|e\.g|included?"
    r"|includes|including|possible|available|between|out of|among|from)\b",
    re.IGNORECASE,
)
"""What a clause says that counts up what there is."""

PICKING = re.compile(r"\b(between|from|among)\b", re.IGNORECASE)
"""What a clause says that names what there is to choose from."""

CLAUSE = re.compile(
    r"[.!?;]+(?=\s|$)|[\u3002\uff01\uff1f\uff1b]|\n+"
    r"|,?\s+(?=(?:but|however|yet|therefore|thus|hence|so(?! can| do| is| are)|whereas|rather than"
    r"|instead of|sondern|aber|mais|sino|pero|maar)\b)"
    r"|,\s*(?=(?:rather(?! than)|not|nor|no|nicht|pas|kein\w*|unlike|less|and not|although"
    r"|(?:even )?though|even if|despite|because|since|closest|nearest"
    r"|the (?:closest|most|best|nearest|answer)|it(?:'s| is| must| has| would)|i would|i'd)\b)"
    r"|\s+(?=(?:although|even though|even if|despite)\b)"
    rf"|,\s*(?={QUOTE}\s*(?:[-:=\u2013\u2014\u2192]\s*(?:no|yes)\b|[\u2705\u2713\u2714\u274c\u2717\u2718]"
    r"|(?:is|isn't|would|seems|fits|matches|does|doesn't)\b))",
    re.IGNORECASE,
)
"""Where a clause ends and another one may say the opposite."""

CONCESSION = re.compile(
    r"((?:^|[.!?;:\n])\s*(?:although|though|even though|while|since|as|because|rather than"
    r"|instead of)\b[^,]*),",
    re.IGNORECASE,
)
"""A clause in front of its main clause; the comma after it ends it."""

LEAD = re.compile(
    r"(?:^|(?<=[.!?;:\n]))\s*(?:between|given|among|from|out of|of)\b[^.;\n]*?,"
    rf"(?=\s*(?:{QUOTE} (?:is|would)|it|i|the|none|not|no)\b)",
    re.IGNORECASE,
)
"""What a choice is made from: "Between 'road' and 'car',"."""
