"""Quantities of atmosphere and ocean: their names in WeatherBench2, ERA5's and other files, their
units, CF names, and the range in which their values lie. The one table of aliases.

A channel may hold any other quantity too: then its names and units are the channel's own.

Source: CF standard name table v85; ECMWF parameter database; WeatherBench2's documentation; the
ranges are wide bounds on what is observed near the Earth's surface and in its air up to 1 hPa.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """A quantity.

    Args:
        name: long name, WeatherBench2's for the atmosphere, CMIP's or Copernicus' for the ocean.
        short: ERA5's short name, from which names of channels are made.
        units: canonical, in which everything computes and writes.
        standard_name: CF's.
        aliases: other names in files.
        range: (smallest, largest) value that is credible, in `units`; for units that a file
            declares wrongly or not at all.
    """

    name: str
    short: str
    units: str
    standard_name: str
    aliases: tuple[str, ...] = ()
    range: tuple[float, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that a file may use."""
        return (self.name, self.short, *self.aliases)


V = Variable
VARIABLES: tuple[Variable, ...] = (
    V("geopotential", "z", "m2 s-2", "geopotential",
      ("phi", "zg", "hgt", "HGT", "Z3", "geopotential_height"), (-2e4, 6e5)),
    V("temperature", "t", "K", "air_temperature", ("T", "ta", "air"), (140.0, 350.0)),
    V("u_component_of_wind", "u", "m s-1", "eastward_wind", ("U", "ua", "uwnd"), (-220.0, 220.0)),
    V("v_component_of_wind", "v", "m s-1", "northward_wind", ("V", "va", "vwnd"), (-220.0, 220.0)),
    V("vertical_velocity", "w", "Pa s-1", "lagrangian_tendency_of_air_pressure",
      ("OMEGA", "omega", "wap"), (-40.0, 40.0)),
    V("specific_humidity", "q", "kg kg-1", "specific_humidity", ("SHUM", "hus", "shum"),
      (-1e-3, 0.05)),
    V("relative_humidity", "r", "1", "relative_humidity", ("RELHUM", "hur", "rhum"), (-0.1, 2.5)),
    V("vorticity", "vort", "s-1", "atmosphere_relative_vorticity", ("vo",), (-1e-2, 1e-2)),
    V("divergence", "d", "s-1", "divergence_of_wind", (), (-1e-2, 1e-2)),
    V("2m_temperature", "t2m", "K", "air_temperature", ("2t", "tas", "TREFHT"), (170.0, 340.0)),
    V("2m_dewpoint_temperature", "d2m", "K", "dew_point_temperature", ("2d", "tdps"),
      (150.0, 320.0)),
    V("10m_u_component_of_wind", "u10", "m s-1", "eastward_wind", ("10u", "uas"), (-120.0, 120.0)),
    V("10m_v_component_of_wind", "v10", "m s-1", "northward_wind",
      ("10v", "vas"), (-120.0, 120.0)),  # codespell:ignore vas
    V("mean_sea_level_pressure", "msl", "Pa", "air_pressure_at_mean_sea_level",
      ("psl", "PSL", "mslp", "prmsl", "slp"), (8.5e4, 1.1e5)),
    V("surface_pressure", "sp", "Pa", "surface_air_pressure", ("ps", "PS"), (4e4, 1.15e5)),
    V("skin_temperature", "skt", "K", "surface_temperature", ("ts", "TS"), (150.0, 370.0)),
    V("sea_surface_temperature", "sst", "K", "sea_surface_temperature", ("tos", "analysed_sst"),
      (265.0, 315.0)),
    V("total_precipitation_6hr", "tp6h", "m", "precipitation_amount", (), (-1e-4, 1.0)),
    V("total_precipitation", "tp", "m", "precipitation_amount", (), (-1e-4, 1.0)),
    V("total_column_water_vapour", "tcwv", "kg m-2", "atmosphere_mass_content_of_water_vapor",
      ("prw", "PREH2O"), (-0.1, 150.0)),
    V("toa_incident_solar_radiation", "tisr", "J m-2",
      "integral_wrt_time_of_toa_incoming_shortwave_flux", (), (-1.0, 2e8)),
    V("geopotential_at_surface", "zs", "m2 s-2", "surface_geopotential",
      ("z_surface", "orography", "z"), (-8e3, 9e4)),
    V("land_sea_mask", "lsm", "1", "land_binary_mask", ("LSM",), (-0.01, 1.01)),
    V("sea_water_potential_temperature", "thetao", "degC", "sea_water_potential_temperature",
      ("theta", "votemper"), (-4.0, 45.0)),
    V("sea_water_salinity", "so", "1e-3", "sea_water_salinity", ("salinity", "vosaline", "salt"),
      (-0.1, 60.0)),
    V("eastward_sea_water_velocity", "uo", "m s-1", "eastward_sea_water_velocity", ("vozocrtx",),
      (-10.0, 10.0)),
    V("northward_sea_water_velocity", "vo", "m s-1", "northward_sea_water_velocity",
      ("vomecrty",), (-10.0, 10.0)),
    V("sea_surface_height_above_geoid", "zos", "m", "sea_surface_height_above_geoid",
      ("adt", "ssh", "sossheig"), (-6.0, 6.0)),
    V("surface_geostrophic_eastward_sea_water_velocity", "ugos", "m s-1",
      "surface_geostrophic_eastward_sea_water_velocity", (), (-10.0, 10.0)),
    V("surface_geostrophic_northward_sea_water_velocity", "vgos", "m s-1",
      "surface_geostrophic_northward_sea_water_velocity", (), (-10.0, 10.0)),
)  # fmt: skip


def find(name: str, among: Iterable[Variable] = VARIABLES) -> Variable | None:
    """The quantity of a long or short name; None where the table has none."""
    return next((v for v in among if name in (v.name, v.short)), None)
