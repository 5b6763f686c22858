import torch
import torch.nn as nn


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class ConvBlock(nn.Module):
    """Convolution that keeps the image's size at stride 1, batch normalisation, ReLU."""

    def __init__(self, in_channels, out_channels, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class SqueezeExcite(nn.Module):
    """Weighs each channel by what the whole image shows."""

    def __init__(self, channels, reduction=8):
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x):
        weights = torch.relu(self.squeeze(x.mean(dim=(2, 3))))
        weights = torch.sigmoid(self.excite(weights))
        return x * weights[:, :, None, None]


class InceptionBlock(nn.Module):
    """Four branches of different reach side by side, each a quarter of the output."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        width = out_channels // 4
        self.point = ConvBlock(in_channels, width, 1)
        self.near = nn.Sequential(ConvBlock(in_channels, width, 1), ConvBlock(width, width, 3))
        self.far = nn.Sequential(ConvBlock(in_channels, width, 1), ConvBlock(width, width, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), ConvBlock(in_channels, width, 1))
        self.attention = SqueezeExcite(out_channels)

    def forward(self, x):
        branches = [self.point(x), self.near(x), self.far(x), self.pooled(x)]
        return self.attention(torch.cat(branches, dim=1))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
            ConvBlock(in_shape[1], 32, 3, stride=2),
            InceptionBlock(32, 64),
            nn.MaxPool2d(2),
            InceptionBlock(64, 128),
            InceptionBlock(128, 160),
            nn.MaxPool2d(2),
            InceptionBlock(160, 256),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(prm["dropout"])
        self.classifier = nn.Linear(256, out_shape[0])

    def forward(self, x):
        x = self.pool(self.features(x)).flatten(1)
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
