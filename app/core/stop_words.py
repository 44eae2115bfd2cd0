"""Words that carry no topic, by language: the commonest ones, and the small talk of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "en": """
a about above after again against ain all almost also although always am an and another any anybody
anyone anything are aren around as ask asked at away back be became because been before behind being
below between both bring but by came can cannot could couldn did didn do does doesn doing don done
down each either else enough even ever every everybody everyone everything few find first for from
further gave get gets getting give go goes going gonna good got great guess guys had hadn happen
happened happy has hasn have haven having he hello help her here hers herself hey hi him himself his
how however i if in instead into is isn it its itself just keep kind knew know known last least let
like likely little ll look looking lot lots love made make makes many may maybe me mean might mine
more most much must my myself need needs never new next nice no nobody none nor not nothing now of
off often oh ok okay old on once one only or other others our ours out over own part people please
pretty put quite rather re really right said same saw say says see seem seems shall she should
shouldn show since so some somebody someone something sometimes soon sorry still stuff such sure
take tell than thank thanks that the their them then there these they thing things think this those
though thought three through time to today together told tonight too took totally true try trying
two under until up upon us use used using ve very want wanted wants was wasn way we well went were
weren what whatever when where whether which while who whole whom whose why will with within without
won wonder work would wouldn wow yeah year years yep yes yesterday yet you your yours yourself
""",
    "de": """
aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch
auf aus bei beim bin bis bist bitte da dabei dafür dagegen daher damit danach danke dann daran
darauf darin darum das dass dasselbe davon dazu dein deine deinem deinen deiner dem den denen denn
der deren derselbe des dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch
ein eine einem einen einer eines einfach einige einmal er erst es etwas euch euer eure fast für gab
ganz geben gegen gehen geht genau gerade gern gestern gibt ging gleich gut gute guten hab habe haben
hallo halt hast hat hatte hatten heute hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer
im immer in ins irgendwie ist ja jede jedem jeden jeder jedes jemand jetzt kam kann kannst kein
keine keinem keinen keiner klar kommen kommt können könnte lassen lasst los machen macht mal man
manche mehr mein meine meinem meinen meiner mich mir mit morgen muss müssen nach natürlich neben
nein nicht nichts nie nimmt noch nun nur ob oder ohne sagen sagt sagte schon sehen sehr sein seine
seinem seinen seiner seit selbst sich sie sieht sind so sogar soll sollen sollte sonst um und uns
unser unsere unter viel viele vielleicht vom von vor war waren warum was weg weil weiter weiß welche
welcher wenig wenn wer werde werden wie wieder will wir wird wirklich wissen wo wohl wollen worden
wurde wurden würde zu zum zur zwar zwischen über
""",
    "fr": """
ai aie alors après assez au aucun aussi autre autres aux avaient avais avait avant avec avez avoir
avons bah beaucoup bien bon bonjour bonsoir car ce ceci cela celle celui ces cet cette ceux chaque
chez chose comme comment dans de depuis des deux devant dire dit dois doit donc dont du déjà elle
elles en encore entre es est et eu eux faire fais fait faut fois font hier ici il ils jamais je jour
la laquelle le lequel les leur leurs lui là ma mais me merci mes mieux moi moins mon même mêmes ne
ni non nos notre nous on ont ou oui où par parce parfois pas pendant peu peut peux plus plutôt pour
pourquoi pourrait pouvez prend puis quand que quel quelle quelles quelque quelques quels qui quoi
rien sa salut sans se sera ses si soi son sont sous suis sur ta tant te tel tes toi ton toujours
tous tout toute toutes trop très tu un une va vais vas vers veut veux voici voilà voir vont vos
votre vous vraiment vu étaient étais était été être
""",
    "es": """
a acá ahí al algo alguien alguna algunas alguno algunos algún allí ante antes aquel aquella aquí así
aun aunque ayer aún bien buenas bueno buenos cada casi como con contra cosa cosas creo cual cuando
cuál cuándo cuánto cómo de del desde donde dos durante dónde e el ella ellas ellos en entonces entre
era eran eres es esa ese eso esos esta estar estas este esto estos estoy está están fue fueron
gracias ha había habían hace hacer hacia han hasta hay hemos hola hoy igual la las le les lo los
luego mal me menos mi mis mismo mucha muchas mucho muchos muy más mí nada nadie ni no nos nosotros
nuestra nuestro nunca o os otra otras otro otros para pero poco por porque puede puedo pues que
quien quiere quiero quién qué sabe se sea según ser si sido siempre sin sobre solo somos son soy su
sus sé sí sólo también tan tanto te tener tengo ti tiene tienen toda todas todavía todo todos tu tus
tú un una unas uno unos usted va vamos ver vez voy y ya yo él
""",
    "it": """
a adesso ai al alla alle allora altra altre altri altro anche ancora anni avere aveva bene c che chi
ci ciao ciò come con contro cosa cose così cui da dagli dai dal dalla dalle degli dei del della
delle dello dentro di dire dopo dove due e ecco ed era erano essere essi fa fare fatto fino fra già
gli grazie ha hai hanno ho i ieri il in io l la le lei li lo loro lui ma mai me meno mi mia mie miei
mio molto ne nei nel nella nelle niente no noi non nostra nostro nulla o oggi ogni ora per perché
però più poco poi prima proprio può qua qualche qualcosa quale quando quanto quasi quella quelle
quello questa queste questi questo qui quindi sa sarà se sei sempre senza si sia siamo siete solo
sono sopra sotto sta stata stato su sua sue sui sul sulla suo suoi sì tanto te ti tra troppo tu tua
tue tuo tutta tutte tutti tutto un una uno va vai verso vi voglio voi vostra vostro è
""",
    "pt": """
a agora ainda algo algum alguma algumas alguns alguém ali além ante antes ao aos aquela aquele aqui
as assim até aí bem boa bom cada com como contra da das de dela dele deles depois desde dessa desse
desta deste deve do dois dos e ela elas ele eles em entre então era eram essa essas esse esses esta
estar estas estava este estes estou está estão eu faz fazer fez foi for foram gente hoje há isso
isto já la lhe lo lá mais mas me mesmo meu meus minha minhas muita muito muitos na nada nas nem
nenhum no nos nossa nosso num numa nunca não nós o obrigado oi olá onde ontem os ou outra outras
outro outros para pela pelo per pode pois por porque pouco pra qual quando quanto que quem quer
quero se sei seja sem sempre ser será seu seus sim sobre sou sua suas são só talvez também te tem
tenho ter teu tinha toda todas todo todos tu tua tudo tão têm um uma umas uns vai vamos você vocês
vou é
""",
    "nl": """
aan al alle alles als altijd ander andere ben bij bijna daar dan dat de deze die dit doch doen door
dus echt een eens eigenlijk en er even gaan gaat geen geweest ging goed had hallo heb hebben heeft
hem het hier hij hoe hun iemand iets ik in is ja je jij jou jouw jullie kan kom komt kunnen maak
maar me meer men met mij mijn moet na naar niet niets nog nooit nou nu of om omdat onder ons onze
ook op over te tegen toch toen tot uit uw van veel voor waar waarom want was wat we wel welke werd
wie wij wil worden wordt zal ze zei zelf zich zij zijn zo zonder zou
""",
}
STOP_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split()) for language, words in _WORDS.items()
}


def language_of(words: Iterable[str]) -> str:
    """The language with the most stop words among them; English where none has any."""
    hits = dict.fromkeys(STOP_WORDS, 0)
    for word in words:
        for language, known in STOP_WORDS.items():
            hits[language] += word in known
    return max(hits, key=lambda language: (hits[language], language == "en"))
