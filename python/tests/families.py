"""Small nets of many families, as source, to rewrite (see test_trace_rewritings.py). `W` is their
width."""

from __future__ import annotations

PREAMBLE = """
import torch
import torch.nn as nn
import torch.nn.functional as F

W = 8


def conv_bn_relu(a, b, k=3, s=1, g=1):
    return nn.Sequential(
        nn.Conv2d(a, b, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(b), nn.ReLU()
    )
"""

SOURCES: dict[str, str] = {
    "plain": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn_relu(3, W), conv_bn_relu(W, 2 * W, s=2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(2 * W, 10)

    def forward(self, x):
        return self.head(self.flatten(self.pool(self.body(x))))
""",
    "vgg": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, W, 3, padding=1), nn.ReLU(), nn.Conv2d(W, W, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(W, 2 * W, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.fc1 = nn.Linear(2 * W * 16, 32)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = torch.flatten(self.features(x), 1)
        return self.fc2(self.drop(F.relu(self.fc1(x))))
""",
    "resnet": """
class Block(nn.Module):
    def __init__(self, a, b, s):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, s, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(b)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.skip = nn.Identity() if a == b else nn.Conv2d(a, b, 1, s, bias=False)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.skip(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn_relu(3, W)
        self.blocks = nn.Sequential(Block(W, W, 1), Block(W, 2 * W, 2))
        self.head = nn.Linear(2 * W, 10)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
""",
    "bottleneck": """
class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.reduce = conv_bn_relu(c, c // 4, 1)
        self.work = conv_bn_relu(c // 4, c // 4)
        self.expand = nn.Sequential(nn.Conv2d(c // 4, c, 1, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        return F.relu(x + self.expand(self.work(self.reduce(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn_relu(3, 4 * W, s=2)
        self.block1 = Block(4 * W)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.block2 = Block(4 * W)
        self.head = nn.Linear(4 * W, 10)

    def forward(self, x):
        x = self.block2(self.pool(self.block1(self.stem(x))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
""",
    "preact": """
class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
        self.conv1 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(c, c, 3, 1, 1, bias=False)

    def forward(self, x):
        y = self.conv1(torch.relu(self.bn1(x)))
        return x + self.conv2(torch.relu(self.bn2(y)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, W, 3, 2, 1)
        self.blocks = nn.ModuleList([Block(W), Block(W)])
        self.norm = nn.BatchNorm2d(W)
        self.head = nn.Linear(W, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = torch.relu(self.norm(x))
        return self.head(x.mean(3).mean(2))
""",
    "densenet": """
class Layer(nn.Module):
    def __init__(self, c, growth):
        super().__init__()
        self.norm = nn.BatchNorm2d(c)
        self.conv = nn.Conv2d(c, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, W, 3, 2, 1)
        self.dense = nn.Sequential(Layer(W, 4), Layer(W + 4, 4), Layer(W + 8, 4))
        self.transition = nn.Sequential(nn.Conv2d(W + 12, W, 1), nn.AvgPool2d(2))
        self.dense2 = nn.Sequential(Layer(W, 4), Layer(W + 4, 4))
        self.head = nn.Linear(W + 8, 10)

    def forward(self, x):
        x = self.dense2(self.transition(self.dense(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))
""",
    "inception": """
class Block(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.one = conv_bn_relu(a, b, 1)
        self.three = nn.Sequential(conv_bn_relu(a, b, 1), conv_bn_relu(b, b, 3))
        self.five = nn.Sequential(conv_bn_relu(a, b, 1), conv_bn_relu(b, b, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn_relu(a, b, 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], dim=1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn_relu(3, W, s=2)
        self.block = Block(W, W)
        self.head = nn.Linear(4 * W, 10)

    def forward(self, x):
        x = F.max_pool2d(self.block(self.stem(x)), 2)
        return self.head(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))
""",
    "mobilenet_v1": """
def separable(a, b, s):
    return nn.Sequential(conv_bn_relu(a, a, 3, s, g=a), conv_bn_relu(a, b, 1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_bn_relu(3, W, s=2), separable(W, 2 * W, 1), separable(2 * W, 4 * W, 2)
        )
        self.head = nn.Linear(4 * W, 10)

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))
""",
    "mobilenet_v2": """
class Inverted(nn.Module):
    def __init__(self, c, t):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(c, c * t, 1, bias=False), nn.BatchNorm2d(c * t), nn.ReLU6(),
            nn.Conv2d(c * t, c * t, 3, 1, 1, groups=c * t, bias=False), nn.BatchNorm2d(c * t),
            nn.ReLU6(), nn.Conv2d(c * t, c, 1, bias=False), nn.BatchNorm2d(c),
        )

    def forward(self, x):
        return x + self.conv(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn_relu(3, W, s=2)
        self.blocks = nn.Sequential(Inverted(W, 3), nn.MaxPool2d(2), Inverted(W, 2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(W, 10))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))
""",
    "squeeze_excite": """
class SE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Linear(c, c // 2), nn.Linear(c // 2, c)

    def forward(self, x):
        w = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * w.view(x.size(0), -1, 1, 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn_relu(3, W), SE(W), nn.MaxPool2d(2), conv_bn_relu(W, 2 * W), SE(2 * W)
        )
        self.head = nn.Linear(2 * W, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
""",
    "shufflenet": """
class Unit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.branch = nn.Sequential(
            conv_bn_relu(c // 2, c // 2, 1),
            nn.Conv2d(c // 2, c // 2, 3, 1, 1, groups=c // 2, bias=False),
            nn.BatchNorm2d(c // 2),
            conv_bn_relu(c // 2, c // 2, 1),
        )

    def forward(self, x):
        a, b = x.chunk(2, 1)
        x = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn_relu(3, 2 * W, s=2)
        self.units = nn.Sequential(Unit(2 * W), Unit(2 * W))
        self.head = nn.Linear(2 * W, 10)

    def forward(self, x):
        return self.head(self.units(self.stem(x)).mean((2, 3)))
""",
    "squeezenet": """
class Fire(nn.Module):
    def __init__(self, a, s, e):
        super().__init__()
        self.squeeze = nn.Conv2d(a, s, 1)
        self.left, self.right = nn.Conv2d(s, e, 1), nn.Conv2d(s, e, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.left(x)), F.relu(self.right(x))], 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, W, 3, 2, 1), nn.ReLU(), Fire(W, 4, W), nn.MaxPool2d(2), Fire(2 * W, 4, W)
        )
        self.final = nn.Conv2d(2 * W, 10, 1)

    def forward(self, x):
        return F.adaptive_avg_pool2d(self.final(self.features(x)), 1).flatten(1)
""",
    "convnext": """
class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.depthwise = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.norm = nn.LayerNorm(c)
        self.up, self.down = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.scale = nn.Parameter(torch.ones(c))

    def forward(self, x):
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.scale * self.down(F.gelu(self.up(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, W, 4, 4)
        self.blocks = nn.Sequential(Block(W), Block(W))
        self.head = nn.Sequential(nn.LayerNorm(W), nn.Linear(W, 10))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))
""",
    "mixer": """
class Mlp(nn.Module):
    def __init__(self, c, h):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(c, h), nn.GELU(), nn.Linear(h, c)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, tokens, c):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.tokens, self.channels = Mlp(tokens, 2 * tokens), Mlp(c, 2 * c)

    def forward(self, x):
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, W, 4, 4)
        self.block = Block(16, W)
        self.head = nn.Linear(W, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.block(x).mean(1))
""",
    "vit": """
class Attention(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(n, t, c))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.attention = Attention(c, 2)
        self.mlp = nn.Sequential(nn.Linear(c, 2 * c), nn.GELU(), nn.Linear(2 * c, c))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, W, 4, 4)
        self.position = nn.Parameter(torch.zeros(1, 16, W))
        self.block = Block(W)
        self.head = nn.Linear(W, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.block(x).mean(1))
""",
    "resnext": """
class Block(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn_relu(c, c, 1), conv_bn_relu(c, c, 3, g=groups), nn.Conv2d(c, c, 1, bias=False),
            nn.BatchNorm2d(c),
        )

    def forward(self, x):
        return torch.relu(x + self.body(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            conv_bn_relu(3, 2 * W, s=2), Block(2 * W, 4), nn.MaxPool2d(2), Block(2 * W, 4),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * W, 10),
        )

    def forward(self, x):
        return self.net(x)
""",
    "wide_resnet": """
class Block(nn.Module):
    def __init__(self, a, b, s):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(a), nn.BatchNorm2d(b)
        self.conv1 = nn.Conv2d(a, b, 3, s, 1, bias=False)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.drop = nn.Dropout(0.3)
        self.short = nn.Conv2d(a, b, 1, s, bias=False)

    def forward(self, x):
        y = F.relu(self.bn1(x))
        z = self.conv2(self.drop(F.relu(self.bn2(self.conv1(y)))))
        return z + self.short(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, W, 3, 1, 1, bias=False)
        self.blocks = nn.Sequential(Block(W, 4 * W, 1), Block(4 * W, 8 * W, 2))
        self.norm = nn.BatchNorm2d(8 * W)
        self.head = nn.Linear(8 * W, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return self.head(F.avg_pool2d(x, x.shape[-1]).flatten(1))
""",
    "fractal": """
class Fractal(nn.Module):
    def __init__(self, depth, c):
        super().__init__()
        self.short = conv_bn_relu(c, c)
        self.long = None
        if depth > 1:
            self.long = nn.Sequential(Fractal(depth - 1, c), Fractal(depth - 1, c))

    def forward(self, x):
        if self.long is None:
            return self.short(x)
        return (self.short(x) + self.long(x)) / 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn_relu(3, W, s=2), Fractal(3, W), nn.MaxPool2d(2))
        self.head = nn.Linear(W, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
""",
    "nin": """
def micro(a, b, k):
    return nn.Sequential(
        nn.Conv2d(a, b, k, padding=k // 2), nn.ReLU(), nn.Conv2d(b, b, 1), nn.ReLU(),
        nn.Conv2d(b, b, 1), nn.ReLU(),
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            micro(3, W, 5), nn.MaxPool2d(3, 2, 1), nn.Dropout(0.5), micro(W, 10, 3)
        )

    def forward(self, x):
        return self.net(x).mean(dim=(-1, -2))
""",
    "all_conv": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, W, 3, padding=1)
        self.b = nn.Conv2d(W, W, 3, stride=2, padding=1)
        self.c = nn.Conv2d(W, 2 * W, 3, padding=1)
        self.d = nn.Conv2d(2 * W, 2 * W, 3, stride=2, padding=1)
        self.e = nn.Conv2d(2 * W, 10, 1)

    def forward(self, x):
        for layer in (self.a, self.b, self.c, self.d):
            x = F.elu(layer(x))
        return F.adaptive_avg_pool2d(self.e(x), 1).flatten(1)
""",
    "unet": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = conv_bn_relu(3, W), conv_bn_relu(W, 2 * W)
        self.middle = conv_bn_relu(2 * W, 2 * W)
        self.up = nn.ConvTranspose2d(2 * W, W, 2, 2)
        self.out = conv_bn_relu(2 * W, W)
        self.head = nn.Linear(W, 10)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = F.interpolate(self.middle(F.max_pool2d(b, 2)), scale_factor=2.0)
        d = self.out(torch.cat([self.up(b + c), a], 1))
        return self.head(d.mean((2, 3)))
""",
    "highway": """
class Highway(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.change, self.gate = nn.Conv2d(c, c, 3, 1, 1), nn.Conv2d(c, c, 3, 1, 1)

    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return t * F.relu(self.change(x)) + (1 - t) * x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, W, 3, 2, 1), nn.BatchNorm2d(W), Highway(W), nn.MaxPool2d(2), Highway(W)
        )
        self.head = nn.Linear(W, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
""",
    "attention_pool": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn_relu(3, W, s=2), conv_bn_relu(W, 2 * W, s=2))
        self.score = nn.Conv2d(2 * W, 1, 1)
        self.head = nn.Linear(2 * W, 10)

    def forward(self, x):
        x = self.body(x)
        weights = torch.softmax(self.score(x).flatten(2), dim=-1)
        return self.head((x.flatten(2) @ weights.transpose(1, 2)).squeeze(2))
""",
    "gru": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv_bn_relu(3, W, s=2), nn.MaxPool2d(2))
        self.rows = nn.GRU(4 * W, 16, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 1, 3).flatten(2)
        return self.head(self.rows(x)[0][:, -1])
""",
}


def source(name: str, width: int = 8) -> str:
    """The module of a family with `width` in place of 8."""
    return PREAMBLE.replace("W = 8", f"W = {width}") + SOURCES[name]
