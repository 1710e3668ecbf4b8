"""Public names of the dataset interface, re-exported from the modules that define them.

- `dataset`: `Item`, `Dataset`, `ListDataset`, `LazyItems`, `ToyboxDataset` and functions that act on them
- `identity`: whether the items are unchanged (`dataset_hash`)
- `folders`: `folder`, images in class folders
- `box_csv`: `read_boxes`, bounding boxes from a CSV file
"""

from camlucida.data.box_csv import LabelledBoxes as LabelledBoxes
from camlucida.data.box_csv import read_boxes as read_boxes
from camlucida.data.dataset import AnnotatedObject as AnnotatedObject
from camlucida.data.dataset import Boxes as Boxes
from camlucida.data.dataset import Dataset as Dataset
from camlucida.data.dataset import Item as Item
from camlucida.data.dataset import LazyItems as LazyItems
from camlucida.data.dataset import ListDataset as ListDataset
from camlucida.data.dataset import Mask as Mask
from camlucida.data.dataset import ToyboxDataset as ToyboxDataset
from camlucida.data.dataset import check_dataset as check_dataset
from camlucida.data.dataset import in_split as in_split
from camlucida.data.dataset import items_without_files as items_without_files
from camlucida.data.dataset import label_of as label_of
from camlucida.data.dataset import metadata_of as metadata_of
from camlucida.data.dataset import sample_indices as sample_indices
from camlucida.data.dataset import source_of as source_of
from camlucida.data.dataset import subset as subset
from camlucida.data.folders import folder as folder
from camlucida.data.identity import DATA_CHANGED as DATA_CHANGED
from camlucida.data.identity import DatasetHasher as DatasetHasher
from camlucida.data.identity import dataset_hash as dataset_hash
