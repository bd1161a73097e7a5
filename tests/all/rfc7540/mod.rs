//! What RFC 7540 has that RFC 9113 deprecates, and clients still use: the way from HTTP/1.1.

mod s3_upgrade;
