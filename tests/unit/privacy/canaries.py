"""Made-up secrets and numbers with valid checksums, put together at run time.

No whole credential stands in this file, so that a scanner for leaked secrets has nothing to find.
"""

import base64
import json
import random
import string
from dataclasses import dataclass

from stdnum import luhn
from stdnum.iso7064 import mod_97_10

UPPER_DIGITS = string.ascii_uppercase + string.digits
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
WORD = ALNUM + "_-"


@dataclass(frozen=True)
class Canary:
    """``text`` holds ``value``, which must be found as ``kind`` and must not survive redaction."""

    kind: str
    text: str
    value: str


def filler(alphabet: str, length: int, seed: int = 1) -> str:
    """The same arbitrary characters every time; at least one digit among the first few."""
    chosen = random.Random(f"{alphabet}{length}{seed}").choices(alphabet, k=length)
    if length > 6 and set("0123456789") & set(alphabet):
        chosen[3] = "7"
    return "".join(chosen)


def _token(kind: str, *parts: str, around: str = "the key is {} as you know") -> Canary:
    value = "".join(parts)
    return Canary(kind, around.format(value), value)


def _jwt() -> str:
    def encoded(claims: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

    header = encoded({"alg": "HS256", "typ": "JWT"})
    return ".".join((header, encoded({"sub": "1042", "iat": 1}), filler(WORD, 43)))


def _key_block(label: str) -> str:
    body = "\n".join(filler(ALNUM + "+/", 64, seed) for seed in range(6))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"


def iban(country: str, account: str) -> str:
    """An IBAN with its check digits."""
    return f"{country}{mod_97_10.calc_check_digits(account + country)}{account}"


def card(start: str) -> str:
    """A card number with its Luhn digit."""
    return start + luhn.calc_check_digit(start)


_BASIC = base64.b64encode(f"ada:{filler(ALNUM, 14)}".encode()).decode()

CREDENTIALS: tuple[Canary, ...] = (
    _token("AWS_ACCESS_KEY", "AK", "IA", filler(UPPER_DIGITS, 16)),
    _token("AWS_ACCESS_KEY", "AS", "IA", filler(UPPER_DIGITS, 16)),
    _token("AWS_BEDROCK_KEY", "AB", "SK", filler(ALNUM, 110)),
    _token(
        "AWS_SECRET_KEY", filler(ALNUM + "/+", 40), around="aws_secret_access_key = {}\nregion = x"
    ),
    _token("GCP_SERVICE_ACCOUNT", filler(HEX, 40), around='{{"private_key_id": "{}", "a": 1}}'),
    _token("GOOGLE_API_KEY", "AI", "za", filler(WORD, 35)),
    _token("GOOGLE_OAUTH_SECRET", "GOC", "SPX-", filler(ALNUM, 28)),
    _token("GOOGLE_OAUTH_TOKEN", "ya", "29.", filler(WORD, 60)),
    _token("AZURE_STORAGE_KEY", filler(ALNUM, 86), "==", around="AccountName=a;AccountKey={};x=1"),
    _token("AZURE_CLIENT_SECRET", filler(ALNUM, 3), "8Q", "~", filler(ALNUM, 34)),
    _token("AZURE_SAS", filler(ALNUM, 43), "%3D", around="https://a.blob/x?sv=1&sig={}&se=2"),
    _token("AZURE_DEVOPS_TOKEN", filler(ALNUM, 76), "AZ", "DO", filler(ALNUM, 4)),
    _token("DIGITALOCEAN_TOKEN", "dop", "_v1_", filler(HEX, 64)),
    _token("OPENAI_KEY", "sk-", "proj-", filler(WORD, 120)),
    _token("OPENAI_KEY", "sk-", filler(ALNUM, 20), "T3Blbk", "FJ", filler(ALNUM, 20)),
    _token("ANTHROPIC_KEY", "sk-", "ant-", "api03-", filler(WORD, 93), "AA"),
    _token("OPENROUTER_KEY", "sk-", "or-v1-", filler(HEX, 64)),
    _token("DEEPSEEK_KEY", "sk-", filler(HEX, 32), around="my DeepSeek key: {}"),
    _token("SK_API_KEY", "sk-", filler(ALNUM, 48)),
    _token("XAI_KEY", "xa", "i-", filler(ALNUM, 80)),
    _token("HUGGINGFACE_TOKEN", "hf", "_", filler(string.ascii_letters, 34)),
    _token("GROQ_KEY", "gs", "k_", filler(ALNUM, 52)),
    _token("PERPLEXITY_KEY", "pp", "lx-", filler(ALNUM, 48)),
    _token("REPLICATE_TOKEN", "r8", "_", filler(ALNUM, 37)),
    _token("NVIDIA_KEY", "nv", "api-", filler(WORD, 64)),
    _token("GITHUB_TOKEN", "gh", "p_", filler(ALNUM, 36)),
    _token("GITHUB_TOKEN", "gh", "s_", filler(ALNUM, 36)),
    _token(
        "GITHUB_FINE_GRAINED_TOKEN", "github", "_pat_", filler(ALNUM, 22), "_", filler(ALNUM, 59)
    ),
    _token("GITLAB_TOKEN", "gl", "pat-", filler(ALNUM, 20)),
    _token("BITBUCKET_TOKEN", "AT", "BB", filler(ALNUM, 32)),
    _token("NPM_TOKEN", "np", "m_", filler(ALNUM, 36)),
    _token("PYPI_TOKEN", "py", "pi-AgEIcHlwaS5vcmc", filler(WORD, 80)),
    _token("RUBYGEMS_KEY", "ruby", "gems_", filler(HEX, 48)),
    _token("DOCKER_TOKEN", "dckr", "_pat_", filler(ALNUM, 27)),
    _token("DOCKER_AUTH", _BASIC, around='{{"auths": {{"r": {{"auth": "{}"}}}}}}'),
    _token("ATLASSIAN_TOKEN", "ATA", "TT3", filler(ALNUM, 180)),
    _token("LINEAR_KEY", "lin", "_api_", filler(ALNUM, 40)),
    _token("NOTION_TOKEN", "nt", "n_", filler(ALNUM, 46)),
    _token("POSTMAN_KEY", "PM", "AK-", filler(HEX, 24), "-", filler(HEX, 34)),
    _token("SLACK_TOKEN", "xo", "xb-", "1042", "-", filler(ALNUM, 24)),
    _token("SLACK_APP_TOKEN", "xa", "pp-1-", filler(ALNUM, 40)),
    _token(
        "SLACK_WEBHOOK",
        *("T", filler(UPPER_DIGITS, 8), "/B", filler(UPPER_DIGITS, 8), "/", filler(ALNUM, 24)),
        around="post to https://hooks.slack.com/services/{} please",
    ),
    _token(
        "DISCORD_BOT_TOKEN", "M", filler(ALNUM, 23), ".", filler(ALNUM, 6), ".", filler(WORD, 30)
    ),
    _token("TELEGRAM_BOT_TOKEN", "1042104210:", "AA", filler(ALNUM, 33)),
    _token("TWILIO_KEY", "S", "K", filler(HEX, 32)),
    _token("SENDGRID_KEY", "S", "G.", filler(WORD, 22), ".", filler(WORD, 43)),
    _token("MAILGUN_KEY", "ke", "y-", filler(HEX, 32)),
    _token("MAILCHIMP_KEY", filler(HEX, 32), "-us", "14"),
    _token("STRIPE_KEY", "sk", "_live_", filler(ALNUM, 24)),
    _token("STRIPE_WEBHOOK_SECRET", "wh", "sec_", filler(ALNUM, 32)),
    _token("SQUARE_TOKEN", "sq", "0atp-", filler(WORD, 22)),
    _token("SHOPIFY_TOKEN", "shp", "at_", filler(HEX, 32)),
    _token("VAULT_TOKEN", "hv", "s.", filler(ALNUM, 24)),
    _token("TERRAFORM_TOKEN", filler(ALNUM, 14), ".atlas", "v1.", filler(ALNUM, 67)),
    _token("DATABRICKS_TOKEN", "da", "pi", filler(HEX, 32)),
    _token("NEW_RELIC_KEY", "NR", "AK-", filler(UPPER_DIGITS, 27)),
    _token("GRAFANA_TOKEN", "gl", "sa_", filler(ALNUM, 32), "_", filler(HEX, 8)),
    _token("TAILSCALE_KEY", "ts", "key-auth-", filler(ALNUM, 30)),
    _token("AGE_SECRET_KEY", "AGE-SECRET-", "KEY-1", filler(UPPER_DIGITS, 58)),
    _token("KUBECONFIG_KEY", filler(ALNUM, 120), around="    client-key-data: {}\n"),
    _token("JWT", _jwt()),
    _token("BASIC_AUTH_HEADER", _BASIC, around="Authorization: Basic {}\nAccept: */*"),
    _token("BEARER_TOKEN", filler(ALNUM, 32), around="Authorization: Bearer {}\nAccept: */*"),
    _token("PRIVATE_KEY", _key_block("RSA " + "PRIVATE KEY"), around="Here it is:\n{}\nThanks"),
    _token("PRIVATE_KEY", _key_block("OPENSSH " + "PRIVATE KEY"), around="Here it is:\n{}\nThanks"),
    _token("URL_PASSWORD", "s3", "cr!et", around="postgres://app:{}@db.internal:5432/app"),
    _token("URL_PASSWORD", "p@ss", "w0rd", around="mongodb+srv://app:{}@cluster0/app"),
    _token("PASSWORD", "hunter", "2", around="Server=db;User Id=sa;Password={};Encrypt=yes"),
    _token("PASSWORD", "Tr0ub4dor", "&3", around="My password is {}, can you remember it?"),
    _token("PASSWORD", "sword", "fish", around="my password is {}."),
    _token("PASSWORD", "sword", "fish", around="DB_PASSWORD={}\n"),
    _token("PASSWORD", "correct horse", " battery", around='password = "{}"'),
    _token("PASSWORD", "Kaffee", "2024", around="Das Passwort für das WLAN lautet {}."),
    _token("PASSWORD", "cafe", "2024", around="Mon mot de passe est {} merci"),
    _token("PASSWORD", "gato", "1234", around="La contraseña es {} y funciona"),
    _token("PASSWORD", "kot", "12345", around="Moje hasło to {}"),
    _token("PASSWORD", "kiska", "77", around="Мой пароль: {}"),
    _token("PASSWORD", "neko", "1234", around="パスワードは{}です"),
    _token("PASSWORD", "mao", "12345", around="密码是{}，谢谢"),
    _token("PASSWORD", "48", "21", around="My card PIN is {}."),
    _token("PASSWORD", "xk7", "pq2", around="machine h login ada password {}\n"),
    _token("PASSWORD", "xk7", "pq2", around="curl -s -u ada:{} https://h/x"),
    _token("PASSWORD", "xk7", "pq2", around="mysql -h db -u root -p{} app"),
    _token("SECRET_SETTING", filler(ALNUM, 32), around='client_secret: "{}"'),
    _token("SECRET_SETTING", filler(HEX, 40), around="export MY_API_KEY={}"),
    _token("SECRET_SETTING", filler(ALNUM, 24), around="deploy --token {} --now"),
    _token("SECRET_SETTING", filler(HEX, 32), around="our API key is {} for now"),
)

PERSONAL: tuple[Canary, ...] = (
    _token(
        "EMAIL", "ada.lovelace+news", "@", "analytical.example.org", around="write to {}, please"
    ),
    _token("EMAIL", "jürgen", "@", "müller.example", around="write to {}, please"),
    _token("EMAIL", "ada [at] analytical [dot] example", around="write to {}, please"),
    _token("PHONE", "+49 30 901820", around="call {} today"),
    _token("PHONE", "(415) 555-0132", around="{} is where I am"),
    _token("PHONE", "905-674-3793", around="they left {} for us"),
    _token("PHONE", "020 7946 0958", around="ring {} after six"),
    _token("PHONE", "020 7946 0958", around="our place ({}) is open"),
    _token("PHONE", "+81-3-1234-5678", around="電話 {}"),
    _token("PHONE", "06 12 34 56 78", around="Appelez-moi au {} demain"),
    _token("IP_ADDRESS", "81.2.69", ".142", around="seen from {} at noon"),
    _token("IP_ADDRESS", "2a02:8109:9c40:", "4c8:1d2e:77aa:10:1", around="seen from {} at noon"),
    _token("MAC_ADDRESS", "3c:22:fb:", "9a:01:7e", around="its address is {} on eth0"),
    _token("IBAN", iban("DE", "370400440532013000"), around="pay to {} today"),
    _token("IBAN", iban("GB", "NWBK60161331926819"), around="pay to {} today"),
    _token("IBAN", "FR14 2004 1010 0505 0001 3M02 606", around="pay to {} and tell me"),
    _token("CARD", card("411111111111111"), around="charge {} now"),
    _token("CARD", card("37828224631000"), around="charge {} now"),
    _token("CARD", "5105-1051-0510-5100", around="charge {}, 12/27"),
    _token("CARD", card("63042737339"), around="my card number {} is lost"),
    _token("US_SSN", "460-89-", "9847", around="his number is {} I think"),
    _token("US_ITIN", "912-70-", "1234", around="his number is {} I think"),
    _token("FR_NIR", "2 95 10 99 126 111 ", "93", around="elle a le {} je crois"),
    _token("ES_DNI", "54362315", "K", around="su número es {} creo"),
    _token("ES_DNI", "X-2482300", "W", around="su número es {} creo"),
    _token("IT_CODICE_FISCALE", "RCCMNL83S18", "D969H", around="il codice {} è suo"),
    _token("BE_NN", "85.07.30-", "033.28", around="nummer {} is van haar"),
    _token("SE_PERSONNUMMER", "880320-", "0016", around="nummer {} är hennes"),
    _token("FI_HETU", "131052-", "308T", around="tunnus {} on hänen"),
    _token("NO_FODSELSNUMMER", "151086", "95088", around="nummer {} er hans"),
    _token("CZ_RC", "710319/", "2745", around="číslo {} je jeho"),
    _token("IE_PPS", "6433435", "F", around="her number is {} now"),
    _token("CH_AHV", "756.9217.", "0769.85", around="die Nummer {} ist ihre"),
    _token("IN_PAN", "ACUPA", "7085R", around="her number is {} now"),
    _token("IN_AADHAAR", "2341 2341 ", "2346", around="her number is {} now"),
    _token("BR_CPF", "390.533.447-", "05", around="o número {} é dela"),
    _token("CN_RIC", "36042619910", "1010071", around="号码 {} 是他的"),
    _token("KR_RRN", "971013-", "9019902", around="번호 {} 입니다"),
    _token("MX_CURP", "BOXW310820", "HNERXN09", around="su clave {} es"),
    _token("CL_RUT", "12.531.909-", "2", around="su rut {} es"),
    _token("AR_CUIT", "20-05536168-", "2", around="su número {} es"),
    _token("GB_NINO", "JG 12 34 56 C", around="her number is {} now"),
    _token("VAT", "DE136695976", around="invoice to {} please"),
    _token("VAT", "NL004495445B01", around="invoice to {} please"),
    _token("DE_IDNR", "36 574 261 809", around="Meine Steuer-ID: {}"),
    _token("NL_BSN", "1112.22.333", around="mijn BSN is {} hoor"),
    _token("PL_PESEL", "44051401359", around="mój PESEL: {}"),
    _token("RO_CNP", "1630615123457", around="CNP {} al meu"),
    _token("BG_EGN", "7523169263", around="EGN {} ей"),
    _token("HR_OIB", "33392005961", around="OIB: {}"),
    _token("PT_NIF", "123456789", around="o meu NIF é {}"),
    _token("GB_NHS", "943 476 5870", around="NHS number {} on file"),
    _token("CA_SIN", "123-456-782", around="my SIN is {} eh"),
    _token("AU_TFN", "123 456 782", around="my TFN is {} mate"),
    _token("TR_TCKN", "17291716060", around="TC Kimlik No {}"),
    _token("US_ROUTING", "111000025", around="routing number {} at the bank"),
    _token("DATE_OF_BIRTH", "6/24/1991", around="Please note my date of birth. It's {} indeed"),
    _token("DATE_OF_BIRTH", "24. Juni 1991", around="geboren am {} in Ulm"),
    _token("PASSPORT", "C01X00T47", around="passport number: {}"),
    _token("DRIVING_LICENCE", "F162823540116", around="my driver's license number is {}"),
    _token("ACCOUNT_NUMBER", "12345678", around="account number {} at the bank"),
    _token("CUSTOMER_ID", "C-104233", around="customer id: {}"),
    _token("PATIENT_ID", "P104233", around="Patient ID: {}"),
    _token("MEDICAL_RECORD", "48213377", around="MRN: {}"),
    _token("STREET_ADDRESS", "221B Baker Street", around="I live at {} with a friend"),
    _token("STREET_ADDRESS", "Karl-Marx-Allee 12", around="Ich wohne in der {}, Berlin"),
    _token("STREET_ADDRESS", "12 rue de la Paix", around="J'habite au {}, Paris"),
)
