//! Builds what is between this program and Quill, whose headers are in the directory `QUILL_INCLUDE`.

fn main() {
    #[cfg(feature = "quill")]
    {
        println!("cargo:rerun-if-env-changed=QUILL_INCLUDE");
        println!("cargo:rerun-if-changed=src/subjects/quill.cpp");
        let include = std::env::var("QUILL_INCLUDE").unwrap_or_else(|_| "/usr/include".to_owned());
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            .define("NDEBUG", None)
            .warnings(false)
            .include(include)
            .file("src/subjects/quill.cpp")
            .compile("quill_subject");
    }
}
