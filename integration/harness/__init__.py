# SPDX-License-Identifier: Apache-2.0
"""What the integration tests stand on: ZooKeeper servers, nodes, clients, and waiting."""
