"""What firms do: industries with the words their names are made of in each language, and how hard times hit them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Industry:
    """One industry. `slump` is how deep its year went: 0 untouched, 2 a crisis that began half a year ago."""

    code: str
    name: str
    share: float
    slump: float
    words: dict[str, tuple[str, ...]]  # by language


INDUSTRIES: tuple[Industry, ...] = (
    Industry(
        *("AUTO", "Automotive", 0.13, 2.0),
        {
            "DE": ("Fahrzeugtechnik", "Automobilteile", "Karosseriebau", "Motorentechnik"),
            "EN": ("Auto Parts", "Drivetrain", "Motor Components"),
            "FR": ("Équipement Automobile", "Pièces Auto", "Carrosserie"),
            "IT": ("Componenti Auto", "Autoricambi", "Carrozzeria"),
            "NL": ("Autotechniek", "Voertuigbouw"),
            "PL": ("Części Samochodowe", "Mototechnika"),
            "CS": ("Autodíly", "Motorová Technika"),
        },
    ),
    Industry(
        *("CHEM", "Chemicals", 0.09, 0.6),
        {
            "DE": ("Chemie", "Lacke", "Kunststofftechnik", "Oberflächentechnik"),
            "EN": ("Chemicals", "Coatings", "Polymers"),
            "FR": ("Chimie", "Peintures", "Plastiques"),
            "IT": ("Chimica", "Vernici", "Materie Plastiche"),
            "NL": ("Chemie", "Kunststoffen"),
            "PL": ("Chemia", "Tworzywa"),
            "CS": ("Chemie", "Plasty"),
        },
    ),
    Industry(
        *("CONS", "Construction", 0.12, 1.6),
        {
            "DE": ("Bau", "Hochbau", "Stahlbau", "Bauunternehmung", "Gerüstbau"),
            "EN": ("Construction", "Builders", "Structural Steel"),
            "FR": ("Construction", "Bâtiment", "Travaux Publics"),
            "IT": ("Costruzioni", "Edilizia", "Carpenteria"),
            "NL": ("Bouw", "Staalbouw"),
            "PL": ("Budownictwo", "Konstrukcje"),
            "CS": ("Stavby", "Ocelové Konstrukce"),
        },
    ),
    Industry(
        *("ELEC", "Electronics", 0.12, 0.3),
        {
            "DE": ("Elektronik", "Elektrotechnik", "Sensorik", "Messtechnik"),
            "EN": ("Electronics", "Controls", "Instruments"),
            "FR": ("Électronique", "Automatismes", "Mesures"),
            "IT": ("Elettronica", "Automazione", "Strumenti"),
            "NL": ("Elektronica", "Meettechniek"),
            "PL": ("Elektronika", "Automatyka"),
            "CS": ("Elektronika", "Měřicí Technika"),
        },
    ),
    Industry(
        *("ENER", "Energy", 0.07, 0.0),
        {
            "DE": ("Energietechnik", "Anlagenbau", "Solartechnik"),
            "EN": ("Energy", "Power Systems", "Renewables"),
            "FR": ("Énergie", "Solaire"),
            "IT": ("Energia", "Impianti"),
            "NL": ("Energie", "Zonnetechniek"),
            "PL": ("Energetyka", "Instalacje"),
            "CS": ("Energetika", "Solární Technika"),
        },
    ),
    Industry(
        *("FOOD", "Food & Beverage", 0.09, 0.2),
        {
            "DE": ("Lebensmittel", "Brauerei", "Backwaren", "Molkerei"),
            "EN": ("Foods", "Brewing", "Dairy"),
            "FR": ("Alimentation", "Boissons", "Laiterie"),
            "IT": ("Alimentari", "Caseificio", "Bevande"),
            "NL": ("Voeding", "Zuivel"),
            "PL": ("Spożywcze", "Mleczarnia"),
            "CS": ("Potraviny", "Pivovar"),
        },
    ),
    Industry(
        *("HLTH", "Healthcare", 0.07, 0.0),
        {
            "DE": ("Medizintechnik", "Pharma", "Labortechnik"),
            "EN": ("Medical", "Pharma", "Laboratories"),
            "FR": ("Médical", "Pharma"),
            "IT": ("Medicale", "Farmaceutica"),
            "NL": ("Medisch", "Farma"),
            "PL": ("Medyczna", "Farmacja"),
            "CS": ("Zdravotnická Technika", "Farma"),
        },
    ),
    Industry(
        *("MACH", "Machinery", 0.18, 0.8),
        {
            "DE": ("Maschinenbau", "Werkzeugbau", "Antriebstechnik", "Fördertechnik", "Metallbau"),
            "EN": ("Machinery", "Tooling", "Engineering"),
            "FR": ("Mécanique", "Outillage", "Machines"),
            "IT": ("Meccanica", "Utensili", "Macchine"),
            "NL": ("Machinebouw", "Metaal"),
            "PL": ("Maszyny", "Narzędzia"),
            "CS": ("Strojírny", "Nástroje"),
        },
    ),
    Industry(
        *("RETL", "Retail", 0.07, 1.1),
        {
            "DE": ("Handel", "Großhandel", "Baumarkt"),
            "EN": ("Trading", "Wholesale", "Supplies"),
            "FR": ("Distribution", "Négoce"),
            "IT": ("Commercio", "Ingrosso"),
            "NL": ("Handel", "Groothandel"),
            "PL": ("Handel", "Hurtownia"),
            "CS": ("Obchod", "Velkoobchod"),
        },
    ),
    Industry(
        *("TRAN", "Transportation", 0.06, 0.5),
        {
            "DE": ("Logistik", "Spedition", "Transporte"),
            "EN": ("Logistics", "Freight", "Haulage"),
            "FR": ("Transports", "Logistique"),
            "IT": ("Trasporti", "Logistica"),
            "NL": ("Logistiek", "Transport"),
            "PL": ("Transport", "Logistyka"),
            "CS": ("Doprava", "Logistika"),
        },
    ),
)
