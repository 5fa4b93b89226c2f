"""A Celery application whose tasks call the model; its broker is a folder."""

import os
from pathlib import Path

from calling import call
from celery import Celery

folder = Path(os.environ["BROKER"])
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.05,
    },
    worker_hijack_root_logger=False,
    task_ignore_result=True,
)


@app.task
def ask(name):
    call(name)
