#!/usr/bin/env python3
"""Trajectories of samplers in double precision, written from the published formulas and from nothing else of this
project: what tests/unit/test_sampler_numbers.c compares with. Prints tests/data/samplers.json.

    scripts/sampler-numbers.py >tests/data/samplers.json

The network is made up: eps(x_t, t) = 0.8 sin(1.5 x_t + t / 150) - 0.1 x_t. Needs Python alone.
"""
import json
import math

T = 1000
BETAS = [0.0001 + (0.02 - 0.0001) * i / (T - 1) for i in range(T)]
ABAR = []
for beta in BETAS:
    ABAR.append((ABAR[-1] if ABAR else 1.0) * (1 - beta))
SIGMAS = [math.sqrt((1 - a) / a) for a in ABAR]
STARTS = [-1.3, -0.4, 0.1, 0.5, 0.9, 1.7]


def eps(x, t):
    return 0.8 * math.sin(1.5 * x + t / 150) - 0.1 * x


def noise(call, k):
    """Stands for what a generator would draw at that call for number k."""
    return math.cos(2.3 * call + 1.1 * k)


# --- PNDM with pseudo Runge-Kutta steps: Liu et al. 2022, algorithm 2 ---

def phi(x, e, a, b):
    """Eq. 11: from noise level a to b along e."""
    return math.sqrt(b / a) * x - (b - a) / (math.sqrt(a) * (math.sqrt((1 - b) * a) + math.sqrt((1 - a) * b))) * e


def pndm(x, steps):
    """Eq. 13 for the first three steps, eq. 12 from then on; the last step ends at no noise."""
    distance = T // steps
    level = lambda t: ABAR[t] if t >= 0 else 1.0
    calls, past = [], []
    for n in range(steps):
        t = (steps - 1 - n) * distance
        end, middle = t - distance, t - distance // 2
        if n < 3:
            e1 = eps(x, t)
            x1 = phi(x, e1, level(t), level(middle))
            e2 = eps(x1, middle)
            x2 = phi(x, e2, level(t), level(middle))
            e3 = eps(x2, middle)
            x3 = phi(x, e3, level(t), level(end))
            e4 = eps(x3, end)
            past.append(e1)
            x = phi(x, (e1 + 2 * e2 + 2 * e3 + e4) / 6, level(t), level(end))
            calls += [(t, x1), (middle, x2), (middle, x3), (end, x)]
        else:
            past.append(eps(x, t))
            mixed = (55 * past[-1] - 59 * past[-2] + 37 * past[-3] - 9 * past[-4]) / 24
            x = phi(x, mixed, level(t), level(end))
            calls.append((t, x))
    return calls


# --- in sigma: Karras et al. 2022; x here is x_t / sqrt(abar) ---

def levels(steps):
    """Timesteps evenly from T - 1 to 0, sigma linear between whole ones; then no noise."""
    timesteps = [(T - 1) * (1 - i / (steps - 1)) for i in range(steps)]
    sigmas = []
    for t in timesteps:
        low = min(int(math.floor(t)), T - 2)
        sigmas.append(SIGMAS[low] + (t - low) * (SIGMAS[low + 1] - SIGMAS[low]))
    return timesteps, sigmas + [0.0]


def slope(x, sigma, t):
    """dx / dsigma = (x - D(x)) / sigma, which is the noise that the network predicts."""
    return eps(x / math.sqrt(sigma * sigma + 1), t)


def heun(x, steps):
    """Algorithm 1 with S_churn = 0, from noise of deviation sigma_0 (line 2)."""
    timesteps, sigmas = levels(steps)
    x *= sigmas[0]
    calls = []
    for n in range(steps):
        d = slope(x, sigmas[n], timesteps[n])
        euler = x + (sigmas[n + 1] - sigmas[n]) * d
        calls.append((timesteps[n], euler))
        if n + 1 < steps:
            e = slope(euler, sigmas[n + 1], timesteps[n + 1])
            euler = x + (sigmas[n + 1] - sigmas[n]) * (d + e) / 2
            calls.append((timesteps[n + 1], euler))
        x = euler
    return calls


def euler_ancestral(x, steps, k):
    """Deterministic to sigma_down, and noise of sigma_up: together the deviation of the level aimed at."""
    timesteps, sigmas = levels(steps)
    x *= sigmas[0]
    calls = []
    for n in range(steps):
        here, there = sigmas[n], sigmas[n + 1]
        up = math.sqrt(there ** 2 * (here ** 2 - there ** 2) / here ** 2)
        down = math.sqrt(there ** 2 - up ** 2)
        x = x + slope(x, here, timesteps[n]) * (down - here) + up * noise(n, k)
        calls.append((timesteps[n], x))
    return calls


def table(run):
    """run(start, k) -> [(timestep, x)] a call; to {"timesteps": [calls], "x": [calls][starts]}."""
    runs = [run(start, k) for k, start in enumerate(STARTS)]
    return {"timesteps": [t for t, _ in runs[0]],
            "x": [[runs[k][i][1] for k in range(len(STARTS))] for i in range(len(runs[0]))]}


print(json.dumps({
    "starts": STARTS,
    "pndm": {"steps": 10, **table(lambda x, k: pndm(x, 10))},
    "heun": {"steps": 8, **table(lambda x, k: heun(x, 8))},
    "euler-ancestral": {"steps": 12, **table(lambda x, k: euler_ancestral(x, 12, k))},
}, indent=1))
