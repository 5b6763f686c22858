import torch
import torch.nn as nn


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class DenseLayer(nn.Module):
    """Adds `growth` channels that it computes from all channels before it."""

    def __init__(self, in_channels, growth):
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], dim=1)


class Transition(nn.Module):
    """Mixes the channels into fewer ones and halves the image."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        return self.pool(self.conv(torch.relu(self.norm(x))))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device, growth=24, layers=(3, 4, 4)):
        super().__init__()
        self.device = device
        channels = 2 * growth
        self.stem = nn.Conv2d(in_shape[1], channels, 3, stride=2, padding=1, bias=False)
        blocks = []
        for stage, depth in enumerate(layers):
            for _ in range(depth):
                blocks.append(DenseLayer(channels, growth))
                channels += growth
            if stage + 1 < len(layers):
                blocks.append(Transition(channels, channels // 2))
                channels //= 2
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(prm["dropout"])
        self.classifier = nn.Linear(channels, out_shape[0])

    def forward(self, x):
        x = torch.relu(self.norm(self.blocks(self.stem(x))))
        x = self.pool(x).flatten(1)
        return self.classifier(self.dropout(x))

    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criterion(self(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()
