"""How a firm is recognised: by its name, where it is, its tax number and its site, each of them written as people write them.

A house number says more about a firm than a street does, which is abbreviated in many ways. A site is another way to write a name,
so it counts as one, and not again beside it: two firms of one name are likely to have one site, too. The legal form is left out:
hardly anybody types it as the register has it.
"""

from __future__ import annotations

from typing import Final

from graph.resolution.resolver import Comparison, Level, Resolver

_LEGAL_FORMS: Final = (
    "ab|ag|aktiengesellschaft|and|aps|as|bv|co|corp|corporation|cv|doo|ek|eurl|gbr|gmbh|inc|incorporated|kft|kg|kgaa|ks|limited|llc|"
    "llp|ltd|nv|o|og|ohg|oo|oy|plc|r|s|sa|sagl|sarl|sas|se|sl|slu|snc|sp|spa|spj|spk|spol|spolka|sro|srl|u|ug|und|vof|vos|z|zoo"
)


def _folded(column: str) -> str:
    """Letters without accents, whichever way an umlaut was typed."""
    plain = f"lower(strip_accents(replace(replace(replace({column}, 'ß', 'ss'), 'ł', 'l'), 'Ł', 'l')))"
    return f"replace(replace(replace({plain}, 'ae', 'a'), 'oe', 'o'), 'ue', 'u')"


_BARE: Final = _folded("regexp_replace(name, '[(][^)]*[)]', '', 'g')")  # a place behind the name is no part of it
_WORDS: Final = f"string_split_regex(regexp_replace(replace({_BARE}, '.', ''), '[^a-z0-9 ]', ' ', 'g'), ' +')"
_PREPARED: Final = f"""
    SELECT id, array_to_string(words, ' ') AS name, array_to_string(list_sort(words), ' ') AS sorted_name,
        substr(array_to_string(words, ''), 1, 24) AS name_as_site,
        nullif(regexp_replace(regexp_replace(street, 'stra(ss|s)e|str[.]', 'str', 'g'), '[^a-z0-9]', '', 'g'), '') AS street,
        regexp_extract(street, '([0-9]+[a-z]?)[^0-9]*$', 1) AS house_number, city, postal_code, country, tax_number, site, industry
    FROM (
        SELECT source || ':' || record_id AS id, {_folded("street")} AS street, {_folded("city")} AS city,
            list_filter({_WORDS}, LAMBDA word: word <> '' AND NOT regexp_full_match(word, '{_LEGAL_FORMS}')) AS words,
            nullif(postal_code, '') AS postal_code, country, nullif(tax_number, '') AS tax_number, industry,
            nullif(regexp_extract(lower(website), '^(?:https?://)?(?:www[.])?([^/]*)[.][a-z]+', 1), '') AS site
        FROM records
    )
"""

FIRMS: Final = Resolver(
    name="firm",
    prepared=_PREPARED,
    comparisons=(
        Comparison(
            "name",
            missing="name_l = '' OR name_r = ''",
            levels=(
                Level("the same words", "sorted_name_l = sorted_name_r", m=0.9, u=0.0003),
                Level(
                    "nearly the same, or the same site",
                    "site_l = site_r OR jaro_winkler_similarity(name_l, name_r) >= 0.96"
                    " OR jaro_winkler_similarity(sorted_name_l, sorted_name_r) >= 0.96"
                    " OR site_l = name_as_site_r OR site_r = name_as_site_l",
                    m=0.08,
                    u=0.0001,
                ),
                Level(
                    "alike, or one begins the other",
                    "jaro_winkler_similarity(name_l, name_r) >= 0.9 OR starts_with(name_l, name_r) OR starts_with(name_r, name_l)",
                    m=0.01,
                    u=0.0003,
                ),
                Level(
                    "similar",
                    "jaro_winkler_similarity(name_l, name_r) >= 0.8 OR jaro_winkler_similarity(sorted_name_l, sorted_name_r) >= 0.8",
                    m=0.005,
                    u=0.008,
                ),
                Level("another name", "", m=0.001, u=0.99),
            ),
        ),
        Comparison(
            "street",
            missing="street_l IS NULL OR street_r IS NULL",
            levels=(
                Level("the same", "street_l = street_r", m=0.9, u=0.0004),
                Level(
                    "nearly the same, and the same number",
                    "house_number_l = house_number_r AND jaro_winkler_similarity(street_l, street_r) >= 0.8",
                    m=0.04,
                    u=0.0002,
                ),
                Level("the same number", "house_number_l = house_number_r", m=0.002, u=0.005),
                Level("another number", "jaro_winkler_similarity(street_l, street_r) >= 0.92", m=0.01, u=0.03),
                Level("another street", "", m=0.04, u=0.96),
            ),
        ),
        Comparison(
            "place",
            missing="city_l IS NULL OR city_r IS NULL",
            levels=(
                Level("the same postal code", "postal_code_l = postal_code_r AND country_l = country_r", m=0.9, u=0.003),
                Level("the same city", "city_l = city_r AND country_l = country_r", m=0.08, u=0.02),
                Level("the same country", "country_l = country_r", m=0.02, u=0.2),
                Level("another country", "", m=0.002, u=0.77),
            ),
        ),
        Comparison(
            "tax_number",
            missing="tax_number_l IS NULL OR tax_number_r IS NULL",
            levels=(
                Level("the same", "tax_number_l = tax_number_r", m=0.97, u=0.00005),
                Level("one sign differs", "levenshtein(tax_number_l, tax_number_r) <= 1", m=0.02, u=0.00001),
                Level("another", "", m=0.01, u=0.9999),
            ),
        ),
        Comparison(
            "industry",
            missing="industry_l IS NULL OR industry_r IS NULL",
            levels=(Level("the same", "industry_l = industry_r", m=0.95, u=0.14), Level("another", "", m=0.05, u=0.86)),
        ),
    ),
    # Each of few pairs, even among a million records: two things that are written alike, of which a number is one where it can be.
    blocking=(
        "l.tax_number = r.tax_number",
        "l.country = r.country AND l.sorted_name = r.sorted_name",
        "l.country = r.country AND l.house_number = r.house_number AND substr(l.name, 1, 4) = substr(r.name, 1, 4)",
        "l.country = r.country AND l.house_number = r.house_number AND substr(l.sorted_name, 1, 4) = substr(r.sorted_name, 1, 4)",
        "l.postal_code = r.postal_code AND l.house_number = r.house_number",
        "l.postal_code = r.postal_code AND substr(l.name, 1, 4) = substr(r.name, 1, 4)",
        "l.city = r.city AND l.house_number = r.house_number AND substr(l.street, 1, 4) = substr(r.street, 1, 4)",
        "l.country = r.country AND l.site = r.name_as_site",
        "l.site = r.site",
    ),
    label="tax_number",
    likely=0.999,
    noted=0.2,
)
