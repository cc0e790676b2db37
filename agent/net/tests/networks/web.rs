//! nginx with certificates of an authority of its own.

use crate::space::World;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;

/// Starts it in the namespace `internet`; the file of its authority. `/big` is a mebibyte, `/upload` reads all that is sent before it answers.
pub fn serve(world: &mut World) -> String {
    let folder = world.folder.join("web");
    fs::create_dir_all(folder.join("root")).expect("a folder");
    let path = |name: &str| folder.join(name).display().to_string();
    let (authority_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut authority = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(
        path("ca.pem"),
        authority.self_signed(&authority_key).expect("a certificate").pem(),
    )
    .expect("a file");
    let names = vec!["a.castle.example".to_owned(), "b.castle.example".to_owned()];
    let issuer = Issuer::new(authority, authority_key);
    let certificate = CertificateParams::new(names)
        .expect("parameters")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    fs::write(path("cert.pem"), certificate.pem()).expect("a file");
    fs::write(path("key.pem"), key.serialize_pem()).expect("a file");
    fs::write(path("root/big"), vec![b'x'; 1 << 20]).expect("a file");
    fs::write(path("root/index.html"), "castle").expect("a file");
    let here = folder.display();
    let settings = format!(
        "daemon off; user root; worker_processes 1; error_log {here}/error.log; pid {here}/pid; events {{ }}\n\
         http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
         client_max_body_size 8m;\n\
         server {{ listen 127.0.0.1:8080; location / {{ return 200 done; }} }}\n\
         server {{ listen 443 ssl; listen [::]:443 ssl; ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem; root {here}/root;\n\
         location /upload {{ proxy_pass http://127.0.0.1:8080; }} }} }}\n"
    );
    fs::write(path("nginx.conf"), settings).expect("a file");
    world.serve("nginx", "internet", &["nginx", "-c", &path("nginx.conf")]);
    path("ca.pem")
}
