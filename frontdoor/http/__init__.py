"""HTTP/1.1 as a language: heads, bodies, what is sent on, what we say ourselves. No I/O, no clock but for a Date."""
