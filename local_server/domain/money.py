"""Prices as people write them: `4.50 EUR/month` is 450 minor units."""

from decimal import ROUND_HALF_UP, Decimal

# ISO 4217: the currencies in circulation, and those whose minor unit is not a hundredth.
_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY "
    "COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK "
    "MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF "
    "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU "
    "UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
)
CURRENCIES = frozenset(_CODES.split())
_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_WITH_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENTS = {
    **dict.fromkeys(_WITHOUT_DECIMALS.split(), 0),
    **dict.fromkeys(_WITH_THREE_DECIMALS.split(), 3),
}


def exponent(currency: str) -> int:
    """How many decimals an amount of the currency has."""
    return _EXPONENTS.get(currency, 2)


def format_minor(minor: int, currency: str) -> str:
    """`450, "EUR"` as `4.50 EUR`; whole amounts without decimals: `0 EUR`."""
    amount = Decimal(minor).scaleb(-exponent(currency))
    whole = amount == amount.to_integral_value()
    return f"{amount.to_integral_value() if whole else amount} {currency}"


def format_unit_price(price: Decimal, currency: str) -> str:
    """`Decimal("0.0020"), "EUR"` as `0.002 EUR`."""
    return f"{price.normalize():f} {currency}"


def rounded_minor(amount: Decimal, currency: str) -> int:
    """An exact amount, in whole units of its currency, as the minor units that are settled; half a unit goes up."""
    return int(amount.scaleb(exponent(currency)).to_integral_value(ROUND_HALF_UP))


def exact_amount(minor: int, currency: str) -> Decimal:
    """`450, "EUR"` as `Decimal("4.50")`."""
    return Decimal(minor).scaleb(-exponent(currency))
