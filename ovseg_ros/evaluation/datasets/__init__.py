"""Data sets with ground truth: public ones in their own layouts, anybody's folder, the robot cell.

Every data set numbers its classes 1..K in the order of ``classes``, the ids that
``Vocabulary.of(*classes)`` gives out; label 0 is void, ground truth that nobody is scored on.
"""

from ovseg_ros.evaluation.datasets.base import VOID, Dataset, Sample, Segment, Segments, evenly
from ovseg_ros.evaluation.datasets.folder import FolderDataset
from ovseg_ros.evaluation.datasets.opening import open_dataset
from ovseg_ros.evaluation.datasets.robot_cell import RobotCellDataset

__all__ = [
    "VOID",
    "Dataset",
    "FolderDataset",
    "RobotCellDataset",
    "Sample",
    "Segment",
    "Segments",
    "evenly",
    "open_dataset",
]
