"""Data sets as this package sees them; every name from one place.

items    Item, DataSet, Listed, Scenes and what is done with them
identity whether the items are still the same
folders  folder: pictures in folders
boxes    read_boxes: their boxes, from a table
"""

from camlucida.data.boxes import Row as Row
from camlucida.data.boxes import read_boxes as read_boxes
from camlucida.data.folders import folder as folder
from camlucida.data.identity import CHANGED as CHANGED
from camlucida.data.identity import Identity as Identity
from camlucida.data.identity import identity as identity
from camlucida.data.items import Boxes as Boxes
from camlucida.data.items import DataSet as DataSet
from camlucida.data.items import Item as Item
from camlucida.data.items import Lazily as Lazily
from camlucida.data.items import Listed as Listed
from camlucida.data.items import Mask as Mask
from camlucida.data.items import Scenes as Scenes
from camlucida.data.items import check_dataset as check_dataset
from camlucida.data.items import in_split as in_split
from camlucida.data.items import known_of as known_of
from camlucida.data.items import label_of as label_of
from camlucida.data.items import spread as spread
from camlucida.data.items import subset as subset
