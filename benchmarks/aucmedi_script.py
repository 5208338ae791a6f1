"""Run by AUCMEDI's interpreter, not imported by karyo: trains a frozen VGG16, prints an epoch's time."""

import json
import resource
import sys
import time
from pathlib import Path


def main(folder: str) -> None:
    import numpy as np
    from aucmedi import DataGenerator, NeuralNetwork
    from keras.callbacks import Callback

    told = json.loads((Path(folder) / "job.json").read_text(encoding="utf-8"))
    labels = np.eye(2)[told["labels"]]
    names = [f"{i:04d}" for i in range(len(labels))]
    model = NeuralNetwork(
        n_labels=2,
        channels=3,
        architecture="2D.VGG16",
        input_shape=tuple(told["shape"]),
        pretrained_weights=False,
    )
    model.tf_epochs = 2  # of transfer learning, in which the base is frozen; the first one traces the graph

    def generate(chosen: slice, shuffle: bool) -> object:
        return DataGenerator(
            names[chosen],
            folder,
            labels=labels[chosen],
            image_format="png",
            batch_size=16,
            resize=tuple(told["shape"]),
            standardize_mode=model.meta_standardize,
            grayscale=False,
            shuffle=shuffle,
        )

    border = told["train"]
    began, seconds = [], []

    class Clock(Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            began.append(time.perf_counter())

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            seconds.append(time.perf_counter() - began[-1])

    train, validation = generate(slice(0, border), True), generate(slice(border, None), False)
    model.train(train, validation, epochs=2, transfer_learning=True, callbacks=[Clock()])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({"seconds": seconds[1], "child_mib": peak}))


if __name__ == "__main__":
    main(sys.argv[1])
