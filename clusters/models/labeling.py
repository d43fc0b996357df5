"""Work on labels that is shared out, and tests of whether clusters can be told apart."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse

from clusters.models.runs import Cluster, Clustering


class Queue(models.Model):
    """A set of clusters that several people label."""

    name = models.CharField(max_length=120)
    clustering = models.ForeignKey(Clustering, on_delete=models.CASCADE, related_name="queues")
    query = models.CharField(max_length=500, blank=True)  # the cluster list's, from which the clusters were taken
    guidelines = models.TextField(blank=True)
    labels_each = models.PositiveSmallIntegerField(default=2)  # people for every cluster
    is_blind = models.BooleanField(default=True)  # others' labels are hidden until mine is in
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("clusters:queue", args=[self.pk])


class QueueItem(models.Model):
    """One cluster of a queue."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="items")
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="queue_items")
    ordinal = models.PositiveIntegerField()

    class Meta:
        ordering = ("queue", "ordinal")
        constraints = [models.UniqueConstraint(fields=("queue", "cluster"), name="one_queue_item_per_cluster")]

    def __str__(self) -> str:
        return f"{self.cluster} of {self.queue}"


class Assignment(models.Model):
    """That a person is to label one cluster of a queue."""

    item = models.ForeignKey(QueueItem, on_delete=models.CASCADE, related_name="assignments")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="assignments")
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)  # when their label was first submitted

    class Meta:
        ordering = ("item__queue", "item__ordinal")
        constraints = [models.UniqueConstraint(fields=("item", "person"), name="one_assignment_per_person")]

    def __str__(self) -> str:
        return f"{self.item} for {self.person}"


class QuizQuestion(models.Model):
    """Five contexts shown to one person; four are of the cluster, one is not."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="quiz_questions")
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="quiz_questions")
    other = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+")  # where the intruder is from
    tokens = models.JSONField()  # five flat indices, as shown
    intruder = models.PositiveSmallIntegerField()  # its place among them, from 0
    seed = models.BigIntegerField()  # that the tokens were drawn with
    chosen = models.PositiveSmallIntegerField(null=True, blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=("person", "cluster"), condition=models.Q(chosen=None), name="one_open_question_per_cluster"
            )
        ]

    def __str__(self) -> str:
        return f"intruder in {self.cluster}"

    @property
    def is_right(self) -> bool:
        return self.chosen == self.intruder
