"""Keys of the field metadata in which a source's own knowledge about a column travels with the schema.

Tables, docs and the graph use it: a currency column finds its amount, a text column its code, a reference its target.
Values are UTF-8 text. A key is left out where the source says nothing.
"""

from typing import Final

LABEL: Final = b"label"  # what the source calls the field to people
UNIT: Final = b"unit"  # the column that holds this quantity's unit of measure
CURRENCY: Final = b"currency"  # the column that holds this amount's currency
TEXT: Final = b"text"  # the column that says this code in words
KEY: Final = b"key"  # "true" for a part of the key
REFERENCE: Final = b"reference"  # "<stream or entity>.<field>" that this field points to
NATIVE_TYPE: Final = b"native_type"  # the source's type as it writes it, such as Edm.Decimal(16,3)
