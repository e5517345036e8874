"""Files as PubMed, EndNote and Zotero export them, of our own writing; PMIDs are above 90,000,000, which none has."""

from __future__ import annotations

NBIB = """\
PMID- 90000001
OWN - NLM
STAT- MEDLINE
LR  - 20210305
IS  - 1234-5678 (Electronic)
VI  - 12
DP  - 2019 Dec 3
TI  - [Quinine for malaria: a trial with a title that runs on over the end of its
      line].
LID - 10.9999/OWN.1 [doi]
LID - e12 [pii]
AB  - BACKGROUND: Malaria is old. METHODS: We gave quinine to 100 patients. RESULTS:
      Fever fell in 50% of them. CONCLUSION: The drug that treats malaria is
      quinine.
CI  - Copyright (c) 2019 Own.
FAU - Makar, Anna B
AU  - Makar AB
AD  - Institute of Nothing, Nowhere, with an address that runs on over the end of
      its line.
CN  - Quinine Group
LA  - eng
LA  - ger
PT  - Journal Article
PT  - Randomized Controlled Trial
TT  - Chinin gegen Malaria.
DEP - 20191120
TA  - J Own
JT  - Journal of our own writing
EIN - J Own. 2020 Feb;13(1):7. PMID: 90000009
MH  - Malaria/*drug therapy
MH  - Humans
MH  - *Quinine/administration & dosage/therapeutic
      use
PMC - PMC9900001
AID - 10.9999/OWN.1 [doi]
PST - ppublish
SO  - J Own. 2019 Dec 3;12(3):1-9. doi: 10.9999/OWN.1.

PMID- 90000002
OWN - NLM
STAT- PubMed-not-MEDLINE
DP  - 1998 Dec-1999 Jan
TI  - Zinc in diarrhoea.
LA  - eng
PT  - Journal Article
PT  - Retracted Publication
RIN - J Own. 2001;1(1):1. PMID: 90000010
JT  - Journal of our own writing
SO  - J Own. 1998 Dec-1999 Jan;1(1):1.
"""
# The same record as PubMed's XML has it.
XML = """\
<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2026//EN" "https://dtd.nlm.nih.gov/x.dtd">
<PubmedArticleSet>
<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="1">90000001</PMID>
<DateRevised><Year>2021</Year><Month>03</Month><Day>05</Day></DateRevised>
<Article><Journal><JournalIssue><PubDate><Year>2019</Year><Month>Dec</Month><Day>3</Day></PubDate></JournalIssue>
<Title>Journal of our own writing</Title></Journal>
<ArticleTitle>[Quinine for malaria: a trial with a title that runs on over the end of its line].</ArticleTitle>
<Abstract><AbstractText Label="BACKGROUND">Malaria is old.</AbstractText>
<AbstractText Label="METHODS">We gave quinine to 100 patients.</AbstractText>
<AbstractText Label="RESULTS">Fever fell in 50% of them.</AbstractText>
<AbstractText Label="CONCLUSION">The drug that treats malaria is quinine.</AbstractText>
<CopyrightInformation>Copyright (c) 2019 Own.</CopyrightInformation></Abstract>
<AuthorList><Author><LastName>Makar</LastName><Initials>AB</Initials></Author>
<Author><CollectiveName>Quinine Group</CollectiveName></Author></AuthorList>
<Language>eng</Language><Language>ger</Language>
<PublicationTypeList><PublicationType>Journal Article</PublicationType>
<PublicationType>Randomized Controlled Trial</PublicationType></PublicationTypeList>
<VernacularTitle>Chinin gegen Malaria.</VernacularTitle>
<ArticleDate DateType="Electronic"><Year>2019</Year><Month>11</Month><Day>20</Day></ArticleDate></Article>
<CommentsCorrectionsList><CommentsCorrections RefType="ErratumIn"><RefSource>J Own. 2020 Feb;13(1):7.</RefSource>
<PMID>90000009</PMID></CommentsCorrections></CommentsCorrectionsList>
<MeshHeadingList><MeshHeading><DescriptorName>Malaria</DescriptorName></MeshHeading>
<MeshHeading><DescriptorName>Humans</DescriptorName></MeshHeading>
<MeshHeading><DescriptorName>Quinine</DescriptorName></MeshHeading></MeshHeadingList></MedlineCitation>
<PubmedData><ArticleIdList><ArticleId IdType="doi">10.9999/OWN.1</ArticleId></ArticleIdList></PubmedData>
</PubmedArticle>
</PubmedArticleSet>
"""
PUBMED_CSV = """\
PMID,Title,Authors,Citation,First Author,Journal/Book,Publication Year,Create Date,PMCID,NIHMS ID,DOI
90000001,"Quinine for malaria, a trial","Makar AB, King ML.",J Own. 2019;12(3):1-9.,Makar AB,J Own,2019,2019/11/21,\
PMC9900001,,10.9999/own.1
90000002,Zinc in diarrhoea,Özil M.,J Own. 1998;1(1):1.,Özil M,J Own,1998,1998/12/01,,,
"""
# EndNote writes the PMID as accession number of the provider NLM; continuation lines begin anywhere.
RIS = """\
TY  - JOUR
AU  - Makar, Anna B.
AU  - King, M. L.
DA  - May 12
PY  - 2019
DO  - https://doi.org/10.9999/OWN.1
DP  - NLM
AN  - 90000001
ID  - 17
LA  - eng
AB  - Malaria is old. The drug that treats malaria
is quinine (n - 100).
N1  - Makar, Anna B
KW  - *Malaria/drug therapy
SP  - 1-9
T2  - J Own
TI  - Quinine for malaria
M3  - Review
UR  - https://www.ncbi.nlm.nih.gov/pubmed/90000001
ER  - 

TY  - JOUR
TI  - Zinc in diarrhoea
AU  - Özil, M.
PY  - 1998/12//
DO  - 10.9999/own.2
N2  - Zinc treats diarrhoea.
JO  - J Own
JF  - Journal of our own writing
LA  - English
M1  - PMID: 90000002
ER  - 

TY  - BOOK
TI  - A book without any number
PY  - 2001
AB  - It has an abstract.
ER  - 
"""  # noqa: W291
ENW = """\
%0 Journal Article
%A Makar, Anna B.
%A King, M. L.
%D 2019
%T Quinine for malaria
%J J Own
%8 May 12
%9 Review
%! Quinine
%@ 1234-5678
%G eng
%M 90000001
%R 10.9999/own.1
%U https://www.ncbi.nlm.nih.gov/pubmed/90000001
%~ PubMed
%W NLM
%X Malaria is old.

% of all: The drug that treats malaria
is quinine.

%0 Journal Article
%T Zinc in diarrhoea
%D 1998
%X Zinc treats diarrhoea.
%Z PMID: 90000002
"""
ENDNOTE_XML = """\
<?xml version="1.0" encoding="UTF-8" ?><xml><records><record><database name="x.enl" path="x">x.enl</database>
<source-app name="EndNote" version="20.0">EndNote</source-app><ref-type name="Journal Article">17</ref-type>
<contributors><authors><author><style face="normal" font="default" size="100%">Makar, Anna B.</style></author>
</authors></contributors><titles><title><style face="normal">Quinine for </style><style face="italic">malaria</style>\
</title><secondary-title>J Own</secondary-title></titles>
<periodical><full-title>Journal of our own writing</full-title></periodical>
<dates><year><style>2019</style></year><pub-dates><date>Dec 3</date></pub-dates></dates>
<accession-num>90000001</accession-num><abstract><style>Malaria is old.&#xD;The drug that treats malaria is quinine; \
p &lt; 0.05.</style></abstract><electronic-resource-num>10.9999/own.1</electronic-resource-num>
<remote-database-provider>NLM</remote-database-provider><language>eng</language></record>
<record><titles><title>Broken &undefined; entity</title></titles></record>
<record><titles><title>Zinc in diarrhoea</title></titles><notes>PMID: 90000002</notes></record></records></xml>
"""
ZOTERO_CSV = """\
"Key","Item Type","Publication Year","Author","Title","Publication Title","ISSN","Url","DOI","Abstract Note","Date",\
"Extra"
"AB12","journalArticle","2019","Makar, Anna B.; King, M. L.","Quinine for malaria","J Own","1234","https://x.org",\
"10.9999/own.1","Malaria is old.
The drug that treats malaria is ""quinine"".","2019-12-03","PMID: 90000001
PMCID: PMC9900001"
"AB13","journalArticle","1998","","Zinc in diarrhoea","J Own","","","10.9999/own.2","","1998-12",""
"""
BIBTEX = r"""@string{own = {J Own}}
@article{makar_quinine_2019,
	title = {Quinine for {Malaria} in {\"O}sterreich},
	volume = {12},
	doi = {10.9999/own.1},
	abstract = {Malaria is old. Fever fell in 50\% of them, p {\textless} 0.05. The drug that treats
 malaria is quinine.},
	language = {eng},
	journal = own,
	author = {Makar, Anna B. and {\"O}zil, M. and {Quinine Group}},
	month = dec,
	year = {2019},
	note = {PMID: 90000001},
}

@article{broken, title = {Never closed,

@comment{jabref-meta: x}

@article{makar_quinine_2019, title = "Zinc, 100% of it", pmid = {90000002}, year = 1998,
  abstract = "Zinc treats diarrhoea in 100% of us."}
"""
LIST = """\
PMID list
90000001
PMID: 90000002, 90000003; 90000001
PMID:90000004 # the fourth
https://pubmed.ncbi.nlm.nih.gov/90000005/
PMC9900006
doi:10.9999/OWN.7 https://doi.org/10.9999/own.8
0090000009
"""
