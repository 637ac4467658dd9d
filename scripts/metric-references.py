#!/usr/bin/env python3
"""Writes tests/data/metrics.json: small sets of features and counts, and what NumPy and SciPy make of them.

Needs Debian's python3-numpy (1.24) and python3-scipy (1.10). Run from the repository's root; the same versions write the
same file, others may differ in the last digits.
"""
import json

import numpy as np
from scipy import linalg, special, stats
from scipy.spatial.distance import cdist

rng = np.random.default_rng(20240618)


def frechet(a, b):
    """By the matrix square root of the product, as published FID code has it; for covariances of full rank."""
    ca, cb = np.cov(a.T), np.cov(b.T)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * linalg.sqrtm(ca @ cb).real))


def frechet_nuclear(a, b):
    """The same for any rank: the trace of the root is the nuclear norm of A B^T, of the centred vectors over the root
    of their number less one."""
    x = (a - a.mean(0)) / np.sqrt(len(a) - 1)
    y = (b - b.mean(0)) / np.sqrt(len(b) - 1)
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * root)


def mmd2(x, y):
    def kernel(p, q):
        return (p @ q.T / x.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    return float((xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
                 - 2 * kernel(x, y).mean())


def covered(x, y, k=3):
    """How many of x lie within a ball around a vector of y that reaches to its k-th nearest neighbour."""
    radii = np.sort(cdist(y, y), axis=1)[:, k]  # column 0 is the vector itself
    return int((cdist(x, y) <= radii).any(axis=1).sum())


def feature_case(name, a, b, full_rank):
    a, b = a.astype(np.float32), b.astype(np.float32)
    x, y = a.astype(np.float64), b.astype(np.float64)
    distance = frechet_nuclear(x, y)
    if full_rank:
        assert abs(frechet(x, y) - distance) < 1e-8 * distance
        distance = frechet(x, y)
    return {"name": name, "n": len(a), "m": len(b), "d": a.shape[1],
            "ours": [float(v) for v in a.ravel()], "theirs": [float(v) for v in b.ravel()],
            "frechet": distance, "mmd2": mmd2(x, y),
            "ours_covered": covered(x, y), "theirs_covered": covered(y, x)}


def features():
    mix = rng.normal(size=(6, 6))
    correlated = rng.normal(size=(50, 6)) @ mix + 0.5
    reference = rng.normal(size=(40, 6)) @ mix
    yield feature_case("full rank", correlated, reference, True)
    # Fewer vectors than features.
    yield feature_case("few vectors", rng.normal(size=(12, 30)), rng.normal(size=(15, 30)) * 1.5, False)
    # As behind a rectifier: features that are always 0, and one that is another's multiple.
    basis = np.maximum(rng.normal(size=(60, 5)), 0)
    other = np.maximum(rng.normal(size=(60, 5)) + 0.3, 0)
    dead = [np.concatenate([s, np.zeros((60, 3)), 2 * s[:, :1]], axis=1) for s in (basis, other)]
    yield feature_case("dead features", dead[0], dead[1], False)
    # Scales from 1e-3 to 1e3.
    scales = np.logspace(-3, 3, 8)
    yield feature_case("uneven scales", rng.normal(size=(30, 8)) * scales, rng.normal(size=(35, 8)) * scales[::-1], True)


def count_case(counts, target):
    counts, target = np.array(counts), np.array(target)
    n = counts.sum()
    f = counts / n
    wilson = [stats.binomtest(int(c), int(n)).proportion_ci(0.95, method="wilson") for c in counts]
    # Percentile intervals by many more resamples than are taken there.
    draws = rng.multinomial(n, f, size=400000) / n
    distances = {
        "fd": np.sqrt(((draws - target) ** 2).sum(1)),
        "kl": special.rel_entr(draws, target).sum(1),
        "tv": np.abs(draws - target).sum(1) / 2,
        "chi2": ((draws - target) ** 2 / target).sum(1),
        "deviation_ratio": np.abs(draws - target).max(1) / (1 - target.min()),
    }
    null = np.sqrt(((rng.multinomial(n, target, size=400000) / n - target) ** 2).sum(1))
    return {
        "counts": counts.tolist(), "target": target.tolist(),
        "wilson": [[w.low, w.high] for w in wilson],
        "fd": float(np.linalg.norm(f - target)), "kl": float(stats.entropy(f, target)),
        "tv": float(np.abs(f - target).sum() / 2),
        "chi2": float(stats.chisquare(counts, n * target).statistic / n),
        "chi2_p": float(stats.chisquare(counts, n * target).pvalue),
        "deviation_ratio": float(np.abs(f - target).max() / (1 - target.min())),
        "intervals": {key: [float(np.quantile(v, p)) for p in (0.025, 0.975)] for key, v in distances.items()},
        "spread": {key: float(v.std()) for key, v in distances.items()},
        "noise_floor": float(null.mean()), "noise_floor_95": float(np.quantile(null, 0.95)),
    }


def soft_case(n, target):
    """FD of mean probabilities with SciPy's bootstrap."""
    target = np.array(target)
    p = rng.dirichlet([0.5, 0.3, 0.4], size=n).astype(np.float32)
    p64 = p.astype(np.float64)
    result = stats.bootstrap((np.arange(n),), lambda i, axis: np.linalg.norm(p64[i].mean(-2) - target, axis=-1),
                             vectorized=True, axis=-1, n_resamples=50000, batch=2000, method="percentile",
                             random_state=7)
    return {"n": n, "target": target.tolist(), "p": [float(v) for v in p.ravel()],
            "fd": float(np.linalg.norm(p64.mean(0) - target)),
            "interval": list(result.confidence_interval), "spread": float(result.standard_error)}


data = {
    "features": list(features()),
    "counts": [count_case([325, 675], [0.5, 0.5]), count_case([30, 50, 20], [1 / 3, 1 / 3, 1 / 3]),
               count_case([7, 11, 40, 42], [0.1, 0.2, 0.3, 0.4])],
    "soft": soft_case(80, [0.4, 0.3, 0.3]),
}
with open("tests/data/metrics.json", "w") as out:
    json.dump(data, out)
    out.write("\n")
