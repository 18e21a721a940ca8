# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench measures on real nodes. Nothing here runs in CI, and no test depends on it."""
