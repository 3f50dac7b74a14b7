"""Accurate extrema of the lid-driven cavity by a Chebyshev method with the corners subtracted.

O. Botella, R. Peyret, Benchmark spectral results on the lid-driven cavity flow, Comput. Fluids 27
(1998) 421-433, doi 10.1016/S0045-7930(98)00002-4. The lid moves towards -x there; signs and x are
mirrored here. The values are read from several public codes that quote them, not from the printed
paper. Each entry is (value, position along the centreline).
"""

#: Least u on x = 1/2, largest and least v on y = 1/2.
EXTREMA = {
    100: {
        "u_min": (-0.2140424, 0.4581),
        "v_max": (0.1795728, 0.2370),
        "v_min": (-0.2538030, 0.8104),
    },
    1000: {
        "u_min": (-0.3885698, 0.1717),
        "v_max": (0.3769447, 0.1578),
        "v_min": (-0.5270771, 0.9092),
    },
}

#: Stream function at the centre of the main vortex, and the centre.
VORTEX = {1000: (-0.1189366, 0.5308, 0.5652)}
