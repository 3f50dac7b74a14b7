"""Tables I and II of Ghia, Ghia and Shin (1982) at Re = 100, and later, more accurate extrema.

U. Ghia, K. N. Ghia, C. T. Shin, High-Re solutions for incompressible flow using the Navier-Stokes
equations and a multigrid method, J. Comput. Phys. 48 (1982) 387-411,
doi 10.1016/0021-9991(82)90058-4: second-order finite differences on 129 x 129 nodes. The values are
read from several transcriptions in public codes that agree digit for digit, not from the printed
paper. Positions are printed there to four digits; as nodes k of the 129 they are (k - 1)/128.
"""

import numpy as np

#: Nodes on the vertical centreline x = 1/2 and u there.
NODES_Y = np.array([1, 8, 9, 10, 14, 23, 37, 59, 65, 80, 95, 110, 123, 124, 125, 126, 129])
U = np.array(
    [
        *(0.00000, -0.03717, -0.04192, -0.04775, -0.06434, -0.10150, -0.15662, -0.21090),
        *(-0.20581, -0.13641, 0.00332, 0.23151, 0.68717, 0.73722, 0.78871, 0.84123, 1.00000),
    ]
)

#: Nodes on the horizontal centreline y = 1/2 and v there.
NODES_X = np.array([1, 9, 10, 11, 13, 21, 30, 31, 65, 104, 111, 117, 122, 123, 124, 125, 129])
V = np.array(
    [
        *(0.00000, 0.09233, 0.10091, 0.10890, 0.12317, 0.16077, 0.17507, 0.17527),
        *(0.05454, -0.24533, -0.22445, -0.16914, -0.10313, -0.08864, -0.07391, -0.05906, 0.00000),
    ]
)

Y = (NODES_Y - 1) / 128
X = (NODES_X - 1) / 128

#: The node of Table I whose u = -0.04775 leaves its neighbours' smooth course: an accurate solution
#: has -0.04663 there, and differs from the nodes on either side by 5e-5 only. Probably a misprint.
SUSPICIOUS_NODE_Y = 10
