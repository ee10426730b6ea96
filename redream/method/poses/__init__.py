"""One face by evidence: which pose a picture shows, and what keeps all poses equally frequent."""

from redream.method.poses.classifier import PoseClassifier, fit_classifier, pose_of
from redream.method.poses.features import ClipFeatures, PictureFeatures, TimmFeatures
from redream.method.poses.uniform import Poses, UniformPoses

__all__ = [
    "ClipFeatures",
    "PictureFeatures",
    "PoseClassifier",
    "Poses",
    "TimmFeatures",
    "UniformPoses",
    "fit_classifier",
    "pose_of",
]
