"""The leak audit: whether a strategy, indicator, model, feature or training knows too much."""

from .experiments import audit_run
from .findings import AuditReport, Finding
from .fits import audit_fit
from .retraining import Retrained, audit_experiment, audit_labels
from .runner import audit_target
from .scorers import audit_scorers
from .subjects import Subject, read_subject, subject_of
from .targets import TargetCrashError
from .trainings import Rows, TrainingTrace, audit_training

__all__ = [
    "AuditReport",
    "Finding",
    "Retrained",
    "Rows",
    "Subject",
    "TargetCrashError",
    "TrainingTrace",
    "audit_experiment",
    "audit_fit",
    "audit_labels",
    "audit_run",
    "audit_scorers",
    "audit_target",
    "audit_training",
    "read_subject",
    "subject_of",
]
