/**
 * The languages that texts are told apart in: the scripts of each, its commonest words, and letters that few others of its
 * script have. The lists are Aha's own: function words, and the words that reasoning about a problem begins sentences
 * with. Words that several languages share are in each of their lists and count for less.
 */

export type Script =
  | "Latin"
  | "Cyrillic"
  | "Greek"
  | "Arabic"
  | "Hebrew"
  | "Devanagari"
  | "Thai"
  | "Hangul"
  | "Kana"
  | "Han";

export interface LanguageProfile {
  /** The first is that of its words below. */
  readonly scripts: readonly Script[];
  readonly words: ReadonlySet<string>;
  /** Letters that speak for it; lower case. */
  readonly letters: ReadonlySet<string>;
}

function language(scripts: readonly Script[], words = "", letters = ""): LanguageProfile {
  return { scripts, words: new Set(words.split(/\s+/).filter(Boolean)), letters: new Set(letters) };
}

/** By ISO 639-1 code. */
export const LANGUAGE_PROFILES = {
  en: language(
    ["Latin"],
    `the of and to in is that it for was on are as with his they be at one have this from or had by not but what all were we
    when your can said there use an each which she do how their if will up other about out many then them these so some her
    would make like him into time has look two more go see no way could people my than first been who its now did get come
    may after back only our over also just because let lets let's us need must should try trying gives equals answer next
    finally therefore thus hence since wait okay maybe check using numbers number where both same think thinking right left
    again works doesn't don't that's i'm it's isn't can't we'll add subtract multiply divide times plus minus equal does
    being such any very here why much most`,
  ),
  de: language(
    ["Latin"],
    `der die das und ist nicht ein eine einen einem einer zu von mit auf für den dem des sich im auch es wir ich sie er so
    als an aus bei nach wie aber oder wenn dann wird werden war sind hat haben kann können muss müssen nur noch schon mehr
    über um durch zum zur dass daß also doch hier jetzt man was wo in alle diese dieser dieses zuerst zunächst schließlich
    ergibt gleich zahl zahlen antwort lösung gleichung weil deshalb daher somit lass uns mal versuchen wäre keine kein`,
    "äöüß",
  ),
  fr: language(
    ["Latin"],
    `le la les un une des de du et est en que qui dans pour pas sur au aux avec ce cette ces il elle on nous vous ils elles
    ne se par plus mais ou où si son sa ses leur leurs comme être avoir fait faire sont ont été était donc alors ainsi car
    parce puis ensuite enfin d'abord réponse nombre nombres équation c'est n'est qu'il qu'on j'ai peut doit même très bien
    aussi tout tous deux entre sans je tu mon notre votre voici cela obtient donne utilisant`,
    "çœèêëîïûùÿ",
  ),
  es: language(
    ["Latin"],
    `el la los las un una unos unas de del y es en que por para con no se su sus al lo como más pero sus le ya o este esta
    estos estas sí porque muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno ni contra ese eso
    entonces luego primero ahora después respuesta número números ecuación podemos debemos tenemos son está están ser tiene
    vamos usar igual así pues cada cuando entre obtenemos finalmente probar`,
    "ñ¿¡",
  ),
  it: language(
    ["Latin"],
    `il lo la i gli le un uno una di del della dei delle degli e è in che per con non si su al alla ai alle da dal dalla come
    più ma anche o se questo questa questi queste quello sono ho ha hanno era essere fare quindi allora poi prima adesso ora
    dopo perché perciò infine risposta numero numeri equazione possiamo dobbiamo abbiamo nel nella nei nelle ci ne così
    cioè ogni quando tra fra proviamo otteniamo dato`,
    "ìò",
  ),
  pt: language(
    ["Latin"],
    `o a os as um uma uns umas de do da dos das e é em no na nos nas que por para com não se seu sua seus suas ao à como mais
    mas ou este esta isso isto ele ela eles elas são está estão ser ter tem foi também já muito sem sobre então depois
    primeiro agora resposta número números equação podemos devemos temos vamos usar igual assim porque cada quando entre
    pelo pela obtemos finalmente você`,
    "ãõ",
  ),
  nl: language(
    ["Latin"],
    `de het een en van is dat in te op aan met voor niet zijn er die om ook als maar bij of uit nog naar dan wordt worden
    kan kunnen moet moeten heeft hebben wij we ik je hij zij ze dus daarom eerst vervolgens tenslotte nu dit deze hier wat
    waar omdat antwoord getal getallen vergelijking geeft gelijk laten proberen geen al door over tot zo onze`,
  ),
  sv: language(
    ["Latin"],
    `och att det som en ett är av för på med den till inte har de om var han hon vi jag så men ett från kan ska skall måste
    eller när där här nu då också bara efter alla vara blir först sedan slutligen därför eftersom svaret tal talet ekvation
    ger lika låt oss försöka detta dessa vad hur`,
    "å",
  ),
  pl: language(
    ["Latin"],
    `i w na z do nie że to się jest o jak za od po przez ale dla są by był była ma mamy co tak już czy który która które
    tylko więc zatem ponieważ najpierw następnie teraz potem odpowiedź liczba liczby liczb równanie możemy musimy oraz lub
    albo gdy jeśli ten ta te tego tym wynosi daje spróbujmy`,
    "ąćęłńśźż",
  ),
  tr: language(
    ["Latin"],
    `ve bir bu da de için ile ne o çok daha gibi en olarak olan var yok ama ya ki kadar sonra önce şimdi değil ise mi mı her
    şey biz ben sen çünkü yani veya cevap sayı sayılar denklem eşit olur eder elde ilk olarak deneyelim bulmak`,
    "ğışİ",
  ),
  vi: language(
    ["Latin"],
    `và là của có không được cho các một những này đó trong với để người khi đã sẽ thì mà nếu từ đến ra vào ta chúng tôi bạn
    số phương trình vậy do nên đáp án bằng đầu tiên sau cuối cùng cần phải hai`,
    "đăơưạảấầẩậắằẳặẹẻếềểệịọỏốồổộớờởợụủứừửựỳỵ",
  ),
  id: language(
    ["Latin"],
    `yang dan di dengan untuk dari ini itu pada adalah tidak akan dalam ke kita kami saya anda dapat bisa harus juga karena
    jadi maka atau sebagai oleh lebih sudah ada pertama kemudian sekarang akhirnya jawaban angka bilangan persamaan jika
    hasilnya menggunakan sama setiap`,
  ),
  ru: language(
    ["Cyrillic"],
    `и в не на что с по как это но он она они мы я к у же за так из от для бы если или то все его только когда можно нужно
    потом сначала теперь поэтому значит ответ число числа чисел уравнение получаем равно есть был была было быть нам`,
    "ыэёъ",
  ),
  uk: language(
    ["Cyrillic"],
    `і в не на що з по як це але він вона вони ми я до у ж за так із від для б якщо або то все його тільки коли можна треба
    потім спочатку тепер тому отже відповідь число числа рівняння отримуємо є був була було бути та`,
    "іїєґ",
  ),
  el: language(["Greek"]),
  ar: language(
    ["Arabic"],
    "في من على أن إلى هذا هذه التي الذي ما لا هو هي كان مع عن ثم إذن لذلك الجواب العدد",
    "ةىأإؤ",
  ),
  fa: language(["Arabic"], "در از به که این آن را با برای است می و یا هم پس بنابراین پاسخ عدد باید ما هستند", "پچژگک"),
  he: language(["Hebrew"]),
  hi: language(["Devanagari"]),
  th: language(["Thai"]),
  ko: language(["Hangul"]),
  ja: language(["Kana", "Han"]),
  zh: language(["Han"]),
} as const satisfies Readonly<Record<string, LanguageProfile>>;

export type LanguageCode = keyof typeof LANGUAGE_PROFILES;

/** Every code. */
export const LANGUAGE_CODES = Object.keys(LANGUAGE_PROFILES) as LanguageCode[];

const englishNames = new Intl.DisplayNames("en", { type: "language" });

/** What people write for a language, as a code: `en`, `en-US`, `zh_CN`, `Chinese`; undefined for what is not known. */
export function languageCode(text: string): LanguageCode | undefined {
  const word = text.trim().toLowerCase().split(/[-_]/)[0]!;
  return LANGUAGE_CODES.find((code) => code === word || englishNames.of(code)?.toLowerCase() === word);
}
