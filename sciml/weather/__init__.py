"""Weather: forecasts by networks that pass messages on an icosahedral mesh."""
