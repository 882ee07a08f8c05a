"""Where firms live: countries with their cities, streets, people, legal forms, tax numbers and money.

Small on purpose: names repeat between firms as they do in life, and that is what makes finding the same firm hard.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """One country the company sells to. `risk` is how much later its firms pay, in standard deviations."""

    code: str
    name: str
    language: str
    share: float
    currency: str
    tax_prefix: str
    tax_digits: int
    risk: float
    legal_forms: tuple[str, ...]
    cities: tuple[tuple[str, str, str], ...]  # city, first postal code, region
    streets: tuple[str, ...]
    surnames: tuple[str, ...]
    given_names: tuple[str, ...]


COUNTRIES: tuple[Country, ...] = (
    Country(
        *("DE", "Germany", "DE", 0.44, "EUR", "DE", 9, -0.3),
        ("GmbH", "GmbH", "GmbH & Co. KG", "AG", "KG", "e.K.", "SE"),
        (
            *(("Augsburg", "86150", "09"), ("Bremen", "28195", "04"), ("Chemnitz", "09111", "14"), ("Düsseldorf", "40210", "05")),
            *(("Göttingen", "37073", "03"), ("Köln", "50667", "05"), ("Lübeck", "23552", "01"), ("München", "80331", "09")),
            *(("Nürnberg", "90402", "09"), ("Saarbrücken", "66111", "10"), ("Stuttgart", "70173", "08"), ("Würzburg", "97070", "09")),
        ),
        ("Bahnhofstraße", "Hauptstraße", "Industriestraße", "Gewerbering", "Am Hafen", "Mühlenweg", "Robert-Bosch-Straße", "Lindenallee"),
        (
            *("Müller", "Schäfer", "Krüger", "Weiß", "Hoffmann", "Köhler", "Brandt", "Vogel", "Böhm", "Jäger", "Lindner", "Schröder"),
            *("Kühn", "Seidel", "Groß", "Förster", "Petersen", "Winkler", "Hübner", "Reuter", "Baumann", "Löffler", "Strauß", "Ziegler"),
        ),
        ("Anna", "Jürgen", "Katrin", "Stefan", "Björn", "Sabine", "Uwe", "Claudia"),
    ),
    Country(
        *("AT", "Austria", "DE", 0.08, "EUR", "ATU", 8, -0.4),
        ("GmbH", "GmbH", "GmbH & Co KG", "AG", "OG"),
        (("Wien", "1010", "W"), ("Graz", "8010", "ST"), ("Linz", "4020", "OÖ"), ("Salzburg", "5020", "S"), ("Wels", "4600", "OÖ")),
        ("Hauptplatz", "Wiener Straße", "Industriezeile", "Landstraße", "Grazer Straße"),
        ("Gruber", "Pichler", "Moser", "Steiner", "Höfer", "Wögerbauer", "Lechner", "Brunner", "Fürst", "Reiter"),
        ("Johanna", "Florian", "Elisabeth", "Lukas", "Magdalena", "Günther"),
    ),
    Country(
        *("CH", "Switzerland", "DE", 0.07, "CHF", "CHE", 9, -0.7),
        ("AG", "AG", "GmbH", "SA"),
        (
            ("Zürich", "8001", "ZH"),
            ("Basel", "4051", "BS"),
            ("Winterthur", "8400", "ZH"),
            ("Genève", "1201", "GE"),
            ("Luzern", "6003", "LU"),
        ),
        ("Bahnhofstrasse", "Industriestrasse", "Seestrasse", "Zürcherstrasse", "Rue du Rhône"),
        ("Meier", "Keller", "Bühler", "Zürcher", "Favre", "Hürlimann", "Ammann", "Rochat", "Frei", "Gerber"),
        ("Reto", "Beatrice", "Urs", "Céline", "Markus", "Regula"),
    ),
    Country(
        *("FR", "France", "FR", 0.08, "EUR", "FR", 11, 0.4),
        ("SAS", "SARL", "SA", "SASU"),
        (
            ("Lyon", "69001", "84"),
            ("Lille", "59000", "32"),
            ("Nantes", "44000", "52"),
            ("Strasbourg", "67000", "44"),
            ("Orléans", "45000", "24"),
        ),
        ("Rue de la République", "Avenue Jean Jaurès", "Zone industrielle Nord", "Boulevard Voltaire", "Rue des Frères Lumière"),
        ("Lefèvre", "Moreau", "Garnier", "Dubois", "Chevalier", "Rousseau", "Gérard", "Perrin", "Mercier", "Besançon"),
        ("Hélène", "Jérôme", "Camille", "François", "Sylvie", "Benoît"),
    ),
    Country(
        *("IT", "Italy", "IT", 0.08, "EUR", "IT", 11, 1.2),
        ("S.r.l.", "S.p.A.", "S.r.l.", "S.a.s."),
        (
            ("Milano", "20121", "MI"),
            ("Torino", "10121", "TO"),
            ("Bologna", "40121", "BO"),
            ("Verona", "37121", "VR"),
            ("Brescia", "25121", "BS"),
        ),
        ("Via Roma", "Via Garibaldi", "Viale dell'Industria", "Corso Italia", "Via Emilia"),
        ("Rossi", "Ferrari", "Bianchi", "Colombo", "Ricci", "Galli", "Conti", "Marchetti", "Bertolini", "Fontana"),
        ("Giulia", "Marco", "Chiara", "Alessandro", "Francesca", "Niccolò"),
    ),
    Country(
        *("NL", "Netherlands", "NL", 0.06, "EUR", "NL", 9, -0.2),
        ("B.V.", "B.V.", "N.V.", "V.O.F."),
        (
            ("Rotterdam", "3011", "ZH"),
            ("Eindhoven", "5611", "NB"),
            ("Utrecht", "3511", "UT"),
            ("Groningen", "9711", "GR"),
            ("Tilburg", "5038", "NB"),
        ),
        ("Stationsweg", "Industrieweg", "Havenstraat", "Hoofdstraat", "Nijverheidsweg"),
        ("de Vries", "Jansen", "van Dijk", "Bakker", "Visser", "Smit", "Meijer", "Mulder", "Dekker", "Hoekstra"),
        ("Sanne", "Daan", "Femke", "Pieter", "Lotte", "Joris"),
    ),
    Country(
        *("PL", "Poland", "PL", 0.07, "PLN", "PL", 10, 0.7),
        ("Sp. z o.o.", "Sp. z o.o.", "S.A.", "Sp. j."),
        (
            ("Kraków", "30-001", "MA"),
            ("Łódź", "90-001", "LD"),
            ("Wrocław", "50-001", "DS"),
            ("Poznań", "60-001", "WP"),
            ("Gdańsk", "80-001", "PM"),
        ),
        ("ul. Przemysłowa", "ul. Długa", "ul. Kościuszki", "al. Jana Pawła II", "ul. Słoneczna"),
        ("Nowak", "Wójcik", "Kamiński", "Lewandowski", "Zieliński", "Dąbrowski", "Szymański", "Woźniak", "Górski", "Pawłowski"),
        ("Agnieszka", "Paweł", "Małgorzata", "Łukasz", "Ewa", "Tomasz"),
    ),
    Country(
        *("CZ", "Czechia", "CS", 0.04, "CZK", "CZ", 8, 0.2),
        ("s.r.o.", "s.r.o.", "a.s."),
        (("Brno", "602 00", "64"), ("Plzeň", "301 00", "32"), ("Ostrava", "702 00", "80"), ("Liberec", "460 01", "51")),
        ("Nádražní", "Průmyslová", "Masarykova", "Husova", "Palackého"),
        ("Novák", "Dvořák", "Černý", "Procházka", "Kučera", "Veselý", "Horák", "Němec"),
        ("Jana", "Petr", "Lenka", "Tomáš", "Eva", "Jiří"),
    ),
    Country(
        *("GB", "United Kingdom", "EN", 0.04, "GBP", "GB", 9, 0.5),
        ("Ltd", "Ltd", "PLC", "LLP"),
        (("Sheffield", "S1 2HE", ""), ("Birmingham", "B2 4QA", ""), ("Leeds", "LS1 4DY", ""), ("Bristol", "BS1 5TR", "")),
        ("Station Road", "Victoria Street", "Mill Lane", "Enterprise Way", "Church Road"),
        ("Hughes", "Clarke", "Bennett", "Whitfield", "Ashworth", "Turner", "Harding", "O'Neill"),
        ("Emma", "Oliver", "Charlotte", "Harry", "Sophie", "George"),
    ),
    Country(
        *("US", "United States", "EN", 0.04, "USD", "", 9, 0.1),
        ("Inc.", "LLC", "Corp.", "Inc."),
        (("Cleveland", "44101", "OH"), ("Milwaukee", "53202", "WI"), ("Houston", "77002", "TX"), ("Pittsburgh", "15222", "PA")),
        ("Main Street", "Commerce Drive", "Industrial Parkway", "Oak Avenue", "Market Street"),
        ("Johnson", "Miller", "Anderson", "Reynolds", "Parker", "Sullivan", "McKenzie", "Hayes"),
        ("Ashley", "Michael", "Jessica", "David", "Emily", "Brian"),
    ),
)

CURRENCIES: dict[str, float] = {"EUR": 1.0, "USD": 1.09, "GBP": 0.86, "CHF": 0.95, "PLN": 4.31, "CZK": 25.1}
