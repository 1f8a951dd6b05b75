"""`SSLClassifier`: a run behind scikit-learn's fit and predict."""

from ssl_zoo.estimator.classifier import SSLClassifier

__all__ = ["SSLClassifier"]
